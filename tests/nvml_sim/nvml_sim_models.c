/* Part of nvml_sim.c: what else a GPU tells of itself, and the slices that MIG cuts it into. */

QUERY(nvmlDeviceGetPowerManagementLimit, unsigned *limit_mw)
    *limit_mw = (unsigned)(gpu->power_limit_w * 1000);
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetEnforcedPowerLimit, unsigned *limit_mw)
    *limit_mw = (unsigned)(gpu->power_limit_w * 1000);
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetUtilizationRates, unsigned rates[2])
    FAIL_WITH(utilization_error);
    rates[0] = (unsigned)gpu->utilization_percent;
    rates[1] = gpu->memory_total_mb > 0
                   ? (unsigned)(100 * gpu->memory_used_mb / gpu->memory_total_mb)
                   : 0;
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetMemoryInfo, unsigned long long bytes[3])
    bytes[0] = (unsigned long long)(gpu->memory_total_mb * 1048576);
    bytes[2] = (unsigned long long)(gpu->memory_used_mb * 1048576);
    bytes[1] = bytes[0] - bytes[2];
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetTemperature, int sensor, unsigned *celsius)
    (void)sensor;
    *celsius = (unsigned)gpu->temperature_c;
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetComputeMode, int *mode)
    *mode = 0;
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetMigMode, unsigned *current, unsigned *pending)
    if (gpu->mig_mode < 0) return leave(NOT_SUPPORTED);
    *current = *pending = (unsigned)gpu->mig_mode;
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetComputeRunningProcesses_v3, unsigned *count, void *processes)
    (void)processes;
    *count = 0;
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetGraphicsRunningProcesses_v3, unsigned *count, void *processes)
    (void)processes;
    *count = 0;
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetArchitecture, unsigned *architecture)
    if (gpu->architecture <= 0) return leave(NOT_SUPPORTED);
    *architecture = (unsigned)gpu->architecture;
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetNumGpuCores, unsigned *cores)
    if (gpu->cores <= 0) return leave(NOT_SUPPORTED);
    *cores = (unsigned)gpu->cores;
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetMaxClockInfo, int type, unsigned *clock_mhz)
    (void)type;
    if (gpu->max_clock_mhz <= 0) return leave(NOT_SUPPORTED);
    *clock_mhz = (unsigned)gpu->max_clock_mhz;
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetCudaComputeCapability, int *major, int *minor)
    if (gpu->compute_capability <= 0) return leave(NOT_SUPPORTED);
    int tenths = (int)(gpu->compute_capability * 10 + 0.5);
    *major = tenths / 10;
    *minor = tenths % 10;
ANSWER(SUCCESS)

typedef struct {
    unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, ofas;
    unsigned gpu_slices, compute_slices;
    unsigned long long memory_mb;
} Attributes;

/* Returns the slice that a handle stands for, or NULL if it stands for a GPU. */
static const Slice *slice_of(Device device, const Gpu *gpu) {
    uintptr_t number = (uintptr_t)device / 256;
    return number >= 1 && number <= gpu->slice_count ? &gpu->slices[number - 1] : NULL;
}

int nvmlDeviceGetAttributes_v2(Device device, Attributes *attributes) {
    Gpu *gpu = NULL;
    int code = enter_any(device, &gpu);
    if (code) return leave(code);
    const Slice *slice = slice_of(device, gpu);
    if (!slice) return leave(NOT_SUPPORTED);
    memset(attributes, 0, sizeof *attributes);
    attributes->gpu_slices = attributes->compute_slices = slice->gpu_slices;
    attributes->memory_mb = slice->memory_mb;
    return leave(SUCCESS);
}

int nvmlDeviceIsMigDeviceHandle(Device device, unsigned *is_slice) {
    Gpu *gpu = NULL;
    int code = enter_any(device, &gpu);
    if (!code) *is_slice = slice_of(device, gpu) != NULL;
    return leave(code);
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device device, Device *parent) {
    Gpu *gpu = NULL;
    int code = enter_any(device, &gpu);
    if (!code && !slice_of(device, gpu)) code = INVALID_ARGUMENT;
    if (!code) *parent = (Device)((uintptr_t)device % 256);
    return leave(code);
}

QUERY(nvmlDeviceGetMaxMigDeviceCount, unsigned *count)
    *count = gpu->mig_mode < 0 ? 0 : MAX_SLICES;
ANSWER(SUCCESS)

QUERY(nvmlDeviceGetMigDeviceHandleByIndex, unsigned index, Device *slice)
    if (index >= gpu->slice_count) return leave(NOT_FOUND);
    *slice = (Device)((uintptr_t)device + 256 * (index + 1));
ANSWER(SUCCESS)
