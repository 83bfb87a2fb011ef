/* Queries of nvml.h that a peer asks and the tests' stand-in for NVIDIA's library may not answer.
 *
 * Linked together with tests/nvml_sim/nvml_sim.c; weak, so that one of its own goes before. */

enum { SUCCESS = 0, NOT_SUPPORTED = 3, ARCH_PASCAL = 4, ARCH_AMPERE = 7 };

typedef void *Device;

int nvmlDeviceGetTotalEnergyConsumption(Device device, unsigned long long *energy_mj);

/* Zeus asks for the architecture to know whether there is an energy counter: boards have one from
 * Volta on. */
__attribute__((weak)) int nvmlDeviceGetArchitecture(Device device, unsigned *architecture) {
    unsigned long long energy_mj;
    int code = nvmlDeviceGetTotalEnergyConsumption(device, &energy_mj);
    *architecture = code == SUCCESS ? ARCH_AMPERE : ARCH_PASCAL;
    return code == NOT_SUPPORTED ? SUCCESS : code;
}

/* Whether it is a Grace Hopper. */
__attribute__((weak)) int nvmlDeviceGetC2cModeInfoV(Device device, void *info) {
    (void)device;
    (void)info;
    return NOT_SUPPORTED;
}
