/* The few queries that carbon's meters make, as amd_smi/amdsmi.h of ROCm 7.0 declares them, for a
 * host with one MI250X: two GPUs, of which the second shows neither energy nor power. The card draws
 * AMDSMI_SIM_POWER_W, counted in steps of 15.259 uJ since the monotonic clock's beginning. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INVAL = 1, NOT_SUPPORTED = 2, DRIVER_NOT_LOADED = 34, NOT_INIT = 32 };
enum { N_GPUS = 2 };

typedef struct {
    uint64_t socket_power;
    uint32_t current_socket_power, average_socket_power;
    uint64_t gfx_voltage, soc_voltage, mem_voltage;
    uint32_t power_limit;
    uint64_t reserved[18];
} power_info;

typedef struct {
    uint32_t gfx_activity, umc_activity, mm_activity, reserved[13];
} engine_usage;

typedef struct {
    char market_name[256];
    uint32_t vendor_id;
    char vendor_name[256];
    uint32_t subvendor_id;
    uint64_t device_id;
    uint32_t rev_id;
    char asic_serial[256];
    uint32_t oam_id, num_of_compute_units;
    uint64_t target_graphics_version;
    uint32_t subsystem_id, reserved[21];
} asic_info;

typedef struct {
    uint64_t kfd_id;
    uint32_t node_id, current_partition_id, reserved[12];
} kfd_info;

static char gpus[N_GPUS];
static int is_initialized;

static int index_of(void *handle) { return (int)((char *)handle - gpus); }

static double power_w(void) {
    const char *text = getenv("AMDSMI_SIM_POWER_W");
    return text ? atof(text) : 0;
}

int amdsmi_init(uint64_t flags) {
    (void)flags;
    if (getenv("AMDSMI_SIM_NO_DRIVER")) return DRIVER_NOT_LOADED;
    is_initialized = 1;
    return SUCCESS;
}

int amdsmi_shut_down(void) {
    is_initialized = 0;
    return SUCCESS;
}

int amdsmi_get_socket_handles(uint32_t *count, void **handles) {
    if (!is_initialized) return NOT_INIT;
    *count = N_GPUS;
    for (int i = 0; handles && i < N_GPUS; i++) handles[i] = gpus + i;
    return SUCCESS;
}

int amdsmi_get_processor_handles(void *socket, uint32_t *count, void **handles) {
    if (!is_initialized) return NOT_INIT;
    *count = 1;
    if (handles) handles[0] = socket;
    return SUCCESS;
}

int amdsmi_get_gpu_device_bdf(void *gpu, uint64_t *bdf) {
    *bdf = (uint64_t)(0xc1 + 5 * index_of(gpu)) << 8;
    return SUCCESS;
}

int amdsmi_get_gpu_device_uuid(void *gpu, unsigned *length, char *uuid) {
    *length = snprintf(uuid, *length, "%02xff7408-0000-1000-8011-82f2988c0a4c", index_of(gpu));
    return SUCCESS;
}

int amdsmi_get_gpu_asic_info(void *gpu, asic_info *info) {
    memset(info, 0, sizeof *info);
    strcpy(info->market_name, "AMD Instinct MI250X");
    strcpy(info->vendor_name, "Advanced Micro Devices, Inc. [AMD/ATI]");
    info->vendor_id = 0x1002;
    info->device_id = 0x7408;
    sprintf(info->asic_serial, "%X", 0xABC0 + index_of(gpu));
    return SUCCESS;
}

int amdsmi_get_gpu_kfd_info(void *gpu, kfd_info *info) {
    memset(info, 0, sizeof *info);
    info->node_id = 4 + index_of(gpu);
    return SUCCESS;
}

int amdsmi_get_energy_count(void *gpu, uint64_t *count, float *resolution, uint64_t *timestamp) {
    struct timespec now;
    if (!is_initialized) return NOT_INIT;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *resolution = 15.259f;
    *timestamp = now.tv_sec * 1000000000ull + now.tv_nsec;
    *count = index_of(gpu) ? 0 : (uint64_t)(power_w() * (*timestamp / 1e3) / *resolution);
    return SUCCESS;
}

int amdsmi_get_power_info(void *gpu, power_info *info) {
    if (!is_initialized) return NOT_INIT;
    memset(info, 0xff, sizeof *info);
    info->socket_power = 0xFFFF;
    info->current_socket_power = 0xFFFF;
    info->average_socket_power = index_of(gpu) ? 0 : (uint32_t)power_w();
    return SUCCESS;
}

int amdsmi_get_gpu_activity(void *gpu, engine_usage *usage) {
    if (!is_initialized) return NOT_INIT;
    memset(usage, 0xff, sizeof *usage);
    usage->gfx_activity = index_of(gpu) ? 80 : 40;
    return SUCCESS;
}
