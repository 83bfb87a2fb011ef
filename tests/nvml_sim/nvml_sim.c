/* A stand-in for NVIDIA's libnvidia-ml.so.1 that plays GPUs with a known power curve.
 *
 * The file named by NVML_SIM_CONFIG describes the GPUs, one "key value" a line; a line "gpu" begins
 * the next one. It is read again whenever it changes, so a test can take a GPU away while a program
 * runs; one that says `is_fixed 1` is read once, for what the library itself takes to be little.
 * Without that file there is no driver, as on a machine without a GPU.
 *
 * Power is a square wave: peak_w during the first `duty` of every period, base_w after that. Its
 * energy since `epoch_s`, a moment of CLOCK_MONOTONIC, is a closed form; tests/nvml_sim/curve.py is
 * the same formula in Python. Whatever the library answers follows from it.
 *
 * Declarations follow NVIDIA's public nvml.h, as far as nvidia-ml-py and CodeCarbon call it.
 */

#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_GPUS 16
#define MAX_SLICES 7
#define TEXT 96

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    GPU_IS_LOST = 15,
};

enum { FIELD_TOTAL_ENERGY = 83, FIELD_POWER_AVERAGE = 185, FIELD_POWER_INSTANT = 186 };
enum { TYPE_UNSIGNED_INT = 1, TYPE_UNSIGNED_LONG_LONG = 3 };

/* ------------------------------------------------------------------------------ configuration */

typedef struct {
    char uuid[TEXT];
    unsigned gpu_slices, memory_mb;
} Slice;

typedef struct {
    char uuid[TEXT], name[TEXT], pci_bus_id[TEXT];
    double base_w, peak_w, period_s, duty, phase_s;
    double counter_start_j;     /* what the counter shows at the epoch */
    double counter_step_ms;     /* it moves every so often; 0: all the time */
    double counter_phase_ms;    /* how long after the epoch it moved first */
    double counter_restart_at_s; /* a moment of CLOCK_MONOTONIC at which it is 0; inf: never */
    double power_average_s;     /* nvmlDeviceGetPowerUsage is a mean over so long; 0: the present */
    double power_step_ms;       /* power readings are renewed every so often; 0: all the time */
    double power_phase_ms;      /* how long after the epoch the first of them was taken */
    double power_noise_w;       /* the reading's own noise: another value with every renewal */
    double has_instant_power;   /* whether NVML_FI_DEV_POWER_INSTANT is answered */
    double lost_at_s;           /* from this moment on every query says GPU_IS_LOST; inf: never */
    double energy_error, power_error, utilization_error, handle_error; /* return codes; 0: none */
    double utilization_percent, memory_total_mb, memory_used_mb, temperature_c, power_limit_w;
    double architecture;        /* as in nvmlDeviceGetArchitecture; 0: not answered */
    double cores, max_clock_mhz, compute_capability;
    double mig_mode;            /* -1: a board without MIG */
    unsigned slice_count;
    Slice slices[MAX_SLICES];
} Gpu;

typedef struct {
    double epoch_s, init_error;
    double call_us; /* how long every query takes, in the driver: the caller's thread is busy */
    double is_fixed; /* the file does not change any more and need not be looked at again */
    double frozen_at_s; /* the moment it is, for a test that does not wait; 0: the clock runs */
    char driver_version[TEXT];
    unsigned count;
    Gpu gpus[MAX_GPUS];
} Config;

#define NUMBER(owner, key) {#key, offsetof(owner, key), 0}
#define STRING(owner, key) {#key, offsetof(owner, key), 1}

typedef struct {
    const char *key;
    size_t offset;
    int is_text;
} Key;

static const Key GLOBAL_KEYS[] = {
    NUMBER(Config, epoch_s), NUMBER(Config, init_error), NUMBER(Config, frozen_at_s),
    NUMBER(Config, call_us), NUMBER(Config, is_fixed),
    STRING(Config, driver_version), {0, 0, 0}};

static const Key GPU_KEYS[] = {
    STRING(Gpu, uuid), STRING(Gpu, name), STRING(Gpu, pci_bus_id),
    NUMBER(Gpu, base_w), NUMBER(Gpu, peak_w), NUMBER(Gpu, period_s), NUMBER(Gpu, duty),
    NUMBER(Gpu, phase_s), NUMBER(Gpu, counter_start_j), NUMBER(Gpu, counter_step_ms),
    NUMBER(Gpu, counter_phase_ms), NUMBER(Gpu, counter_restart_at_s), NUMBER(Gpu, power_average_s),
    NUMBER(Gpu, power_step_ms), NUMBER(Gpu, power_phase_ms), NUMBER(Gpu, power_noise_w),
    NUMBER(Gpu, has_instant_power), NUMBER(Gpu, lost_at_s), NUMBER(Gpu, energy_error),
    NUMBER(Gpu, power_error), NUMBER(Gpu, utilization_error), NUMBER(Gpu, handle_error),
    NUMBER(Gpu, utilization_percent), NUMBER(Gpu, memory_total_mb), NUMBER(Gpu, memory_used_mb),
    NUMBER(Gpu, temperature_c), NUMBER(Gpu, power_limit_w), NUMBER(Gpu, mig_mode),
    NUMBER(Gpu, architecture), NUMBER(Gpu, cores), NUMBER(Gpu, max_clock_mhz),
    NUMBER(Gpu, compute_capability), {0, 0, 0}};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Config config;
static struct stat config_stat;
static int config_is_loaded, initialisations;
static double moved_to_s; /* where `nvml_sim_move_clock` has put the frozen clock since */

static int assign(void *owner, const Key *keys, const char *key, const char *value) {
    for (; keys->key; keys++) {
        if (strcmp(keys->key, key)) continue;
        void *field = (char *)owner + keys->offset;
        if (keys->is_text)
            snprintf(field, TEXT, "%s", value);
        else
            *(double *)field = strtod(value, NULL);
        return 1;
    }
    return 0;
}

/* A mistake in the file is a mistake in the test: end the program where it can be seen. */
static void refuse(const char *path, const char *line) {
    fprintf(stderr, "nvml_sim: %s: cannot use the line \"%s\"\n", path, line);
    abort();
}

static void parse(const char *path, FILE *file) {
    char line[256], key[64];
    memset(&config, 0, sizeof config);
    while (fgets(line, sizeof line, file)) {
        int used = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%63s %n", key, &used) != 1) continue;
        if (!strcmp(key, "gpu")) {
            if (config.count++ == MAX_GPUS) refuse(path, line);
        } else if (config.count && !strcmp(key, "mig_slice")) {
            Gpu *gpu = &config.gpus[config.count - 1];
            Slice *slice = &gpu->slices[gpu->slice_count];
            if (gpu->slice_count++ == MAX_SLICES ||
                sscanf(line + used, "%95s %u %u", slice->uuid, &slice->gpu_slices,
                       &slice->memory_mb) != 3)
                refuse(path, line);
        } else if (config.count) {
            if (!assign(&config.gpus[config.count - 1], GPU_KEYS, key, line + used))
                refuse(path, line);
        } else if (!assign(&config, GLOBAL_KEYS, key, line + used)) {
            refuse(path, line);
        }
    }
}

/* Returns whether there is a configuration, after reading it if it is new. */
static int configured(void) {
    if (config_is_loaded && config.is_fixed) return 1;
    const char *path = getenv("NVML_SIM_CONFIG");
    struct stat now;
    if (!path || stat(path, &now)) return 0;
    if (!config_is_loaded || now.st_ino != config_stat.st_ino ||
        now.st_mtim.tv_sec != config_stat.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != config_stat.st_mtim.tv_nsec) {
        FILE *file = fopen(path, "r");
        if (!file) return 0;
        parse(path, file);
        fclose(file);
        config_stat = now;
        config_is_loaded = 1;
    }
    return 1;
}

/* -------------------------------------------------------------------------------- the physics */

static double now_s(void) {
    struct timespec now;
    if (config.frozen_at_s > 0) return moved_to_s > 0 ? moved_to_s : config.frozen_at_s;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* For a test in the same process: the frozen clock goes on without a new configuration. */
void nvml_sim_move_clock(double to_s) {
    pthread_mutex_lock(&lock);
    moved_to_s = to_s;
    pthread_mutex_unlock(&lock);
}

/* Seconds at peak power within the first x seconds of the wave. */
static double peak_time_s(const Gpu *gpu, double x) {
    double periods = floor(x / gpu->period_s);
    double rest = x - periods * gpu->period_s, high = gpu->duty * gpu->period_s;
    return periods * high + (rest < high ? rest : high);
}

/* Joules drawn from the epoch to the moment t_s. */
static double energy_j(const Gpu *gpu, double t_s) {
    double since = t_s - config.epoch_s;
    double high = peak_time_s(gpu, since + gpu->phase_s) - peak_time_s(gpu, gpu->phase_s);
    return gpu->base_w * since + (gpu->peak_w - gpu->base_w) * high;
}

static double power_w(const Gpu *gpu, double t_s) {
    double x = (t_s - config.epoch_s + gpu->phase_s) / gpu->period_s;
    return x - floor(x) < gpu->duty ? gpu->peak_w : gpu->base_w;
}

/* The last tick, a step apart and one of them `phase_ms` after the epoch, that is not after t_s. */
static double tick_s(double t_s, double step_ms, double phase_ms) {
    if (step_ms <= 0) return t_s;
    double step_s = step_ms * 1e-3, first_s = config.epoch_s + phase_ms * 1e-3;
    return first_s + floor((t_s - first_s) / step_s) * step_s;
}

static unsigned long long counter_mj(const Gpu *gpu, double t_s) {
    double tick = tick_s(t_s, gpu->counter_step_ms, gpu->counter_phase_ms), count_j;
    if (t_s < gpu->counter_restart_at_s)
        count_j = gpu->counter_start_j + energy_j(gpu, tick);
    else
        count_j = energy_j(gpu, tick) - energy_j(gpu, gpu->counter_restart_at_s);
    return count_j <= 0 ? 0 : (unsigned long long)(count_j * 1000);
}

static unsigned power_mw(const Gpu *gpu, double t_s, double average_s) {
    double tick = tick_s(t_s, gpu->power_step_ms, gpu->power_phase_ms);
    double watts = average_s > 0
                       ? (energy_j(gpu, tick) - energy_j(gpu, tick - average_s)) / average_s
                       : power_w(gpu, tick);
    /* From -1 to 1 and never twice the same: the fractions of the golden ratio's multiples. */
    if (gpu->power_noise_w > 0 && gpu->power_step_ms > 0) {
        double x = round((tick - config.epoch_s) / (gpu->power_step_ms * 1e-3)) * 0.6180339887;
        watts += gpu->power_noise_w * (2 * (x - floor(x)) - 1);
    }
    return (unsigned)(watts * 1000 + 0.5);
}

/* ----------------------------------------------------------------------------------- queries */

typedef void *Device; /* the index of the GPU plus one; of a slice, 256 times its own besides */

static void keep_busy(double duration_s) {
    struct timespec now, begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) * 1e-9 <
           duration_s);
}

/* Every query runs under the lock, on the configuration of the moment. */
static int enter_any(Device device, Gpu **gpu) {
    pthread_mutex_lock(&lock);
    if (!initialisations || !configured()) return UNINITIALIZED;
    if (config.call_us > 0) keep_busy(config.call_us * 1e-6);
    if (!gpu) return SUCCESS;
    uintptr_t number = (uintptr_t)device % 256;
    if (number < 1 || number > config.count) return INVALID_ARGUMENT;
    *gpu = &config.gpus[number - 1];
    return now_s() >= (*gpu)->lost_at_s ? GPU_IS_LOST : SUCCESS;
}

/* A slice answers few queries; this is for all others. */
static int enter(Device device, Gpu **gpu) {
    int code = enter_any(device, gpu);
    return code || (uintptr_t)device < 256 ? code : NOT_SUPPORTED;
}

static int leave(int code) {
    pthread_mutex_unlock(&lock);
    return code;
}

static int answer_text(const char *text, char *buffer, unsigned length) {
    return (unsigned)snprintf(buffer, length, "%s", text) < length ? SUCCESS : INSUFFICIENT_SIZE;
}

#define QUERY(name, ...)                      \
    int name(Device device, __VA_ARGS__) {    \
        Gpu *gpu = NULL;                      \
        int code = enter(device, &gpu);       \
        if (code) return leave(code);
#define ANSWER(expression)                    \
        return leave(expression);             \
    }
#define FAIL_WITH(key) if ((int)gpu->key) return leave((int)gpu->key)

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    if (!configured()) return leave(DRIVER_NOT_LOADED);
    if ((int)config.init_error) return leave((int)config.init_error);
    initialisations++;
    return leave(SUCCESS);
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlInit(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    pthread_mutex_lock(&lock);
    if (!initialisations) return leave(UNINITIALIZED);
    initialisations--;
    return leave(SUCCESS);
}

const char *nvmlErrorString(int code) {
    switch (code) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    int code = enter(NULL, NULL);
    return leave(code ? code : answer_text(config.driver_version, version, length));
}

int nvmlSystemGetNVMLVersion(char *version, unsigned length) {
    int code = enter(NULL, NULL);
    return leave(code ? code : answer_text("13.0", version, length));
}

int nvmlSystemGetCudaDriverVersion(int *version) {
    int code = enter(NULL, NULL);
    if (!code) *version = 13000;
    return leave(code);
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    return nvmlSystemGetCudaDriverVersion(version);
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    int code = enter(NULL, NULL);
    if (!code) *count = config.count;
    return leave(code);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    int code = enter(NULL, NULL);
    if (!code && index >= config.count) code = INVALID_ARGUMENT;
    if (!code) code = (int)config.gpus[index].handle_error;
    if (!code && now_s() >= config.gpus[index].lost_at_s) code = GPU_IS_LOST;
    if (!code) *device = (Device)(uintptr_t)(index + 1);
    return leave(code);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    int code = enter(NULL, NULL);
    if (code) return leave(code);
    for (unsigned i = 0; i < config.count; i++) {
        unsigned slice = 0; /* 0: the GPU itself */
        while (slice <= config.gpus[i].slice_count &&
               strcmp(slice ? config.gpus[i].slices[slice - 1].uuid : config.gpus[i].uuid, uuid))
            slice++;
        if (slice > config.gpus[i].slice_count) continue;
        *device = (Device)(uintptr_t)(i + 1 + 256 * slice);
        return leave((int)config.gpus[i].handle_error);
    }
    return leave(NOT_FOUND);
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, Device *device) {
    int code = enter(NULL, NULL);
    if (code) return leave(code);
    for (unsigned i = 0; i < config.count; i++) {
        if (strcmp(config.gpus[i].pci_bus_id, bus_id)) continue;
        *device = (Device)(uintptr_t)(i + 1);
        return leave((int)config.gpus[i].handle_error);
    }
    return leave(NOT_FOUND);
}

QUERY(nvmlDeviceGetIndex, unsigned *index)
    *index = (unsigned)(gpu - config.gpus);
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetMinorNumber, unsigned *number)
    *number = (unsigned)(gpu - config.gpus);
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetName, char *name, unsigned length)
ANSWER(answer_text(gpu->name, name, length))

QUERY(nvmlDeviceGetUUID, char *uuid, unsigned length)
ANSWER(answer_text(gpu->uuid, uuid, length))

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char id[32];
} PciInfo;

QUERY(nvmlDeviceGetPciInfo_v3, PciInfo *info)
    memset(info, 0, sizeof *info);
    snprintf(info->id, sizeof info->id, "%.31s", gpu->pci_bus_id);
    if (sscanf(gpu->pci_bus_id, "%x:%x:%x", &info->domain, &info->bus, &info->device) == 3)
        snprintf(info->legacy, sizeof info->legacy, "%04X:%02X:%02X.0", info->domain & 0xffff,
                 info->bus & 0xff, info->device & 0xff);
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetTotalEnergyConsumption, unsigned long long *energy_mj)
    FAIL_WITH(energy_error);
    *energy_mj = counter_mj(gpu, now_s());
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetPowerUsage, unsigned *power)
    FAIL_WITH(power_error);
    *power = power_mw(gpu, now_s(), gpu->power_average_s);
ANSWER(SUCCESS)

typedef struct {
    unsigned field, scope;
    long long timestamp_us, latency_us;
    int type, code;
    union {
        double d;
        unsigned ui;
        unsigned long long ull;
    } value;
} FieldValue;

QUERY(nvmlDeviceGetFieldValues, int count, FieldValue *values)
    double moment_s = now_s();
    for (FieldValue *v = values; v < values + count; v++) {
        v->timestamp_us = (long long)(moment_s * 1e6);
        v->latency_us = 0;
        v->type = TYPE_UNSIGNED_INT;
        v->code = NOT_SUPPORTED;
        if (v->field == FIELD_TOTAL_ENERGY) {
            v->code = (int)gpu->energy_error;
            v->type = TYPE_UNSIGNED_LONG_LONG;
            v->value.ull = counter_mj(gpu, moment_s);
        } else if (v->field == FIELD_POWER_INSTANT && gpu->has_instant_power) {
            v->code = (int)gpu->power_error;
            v->value.ui = power_mw(gpu, moment_s, 0);
        } else if (v->field == FIELD_POWER_AVERAGE && gpu->power_average_s > 0) {
            v->code = (int)gpu->power_error;
            v->value.ui = power_mw(gpu, moment_s, gpu->power_average_s);
        }
    }
ANSWER(SUCCESS)

#include "nvml_sim_models.c"
