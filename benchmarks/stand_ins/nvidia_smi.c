/* A stand-in for the command nvidia-smi over the stand-in for NVIDIA's library.
 *
 * Answers what peers ask of it: whether it runs at all, and
 * --query-gpu=power.draw --format=csv,noheader, one line a GPU. */

#include <stdio.h>
#include <string.h>

typedef void *Device;

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device);
int nvmlDeviceGetPowerUsage(Device device, unsigned *power_mw);

int main(int count, char **words) {
    unsigned gpus = 0, power_mw;
    Device device;
    if (nvmlInit_v2()) {
        puts("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.");
        return 9;
    }
    int wants_power = count > 1 && !strcmp(words[1], "--query-gpu=power.draw");
    if (!wants_power) puts("NVIDIA System Management Interface (simulated)");
    if (wants_power && !nvmlDeviceGetCount_v2(&gpus))
        for (unsigned index = 0; index < gpus; index++)
            if (!nvmlDeviceGetHandleByIndex_v2(index, &device) &&
                !nvmlDeviceGetPowerUsage(device, &power_mw))
                printf("%.2f W\n", power_mw / 1000.0);
            else
                puts("[N/A]");
    nvmlShutdown();
    return 0;
}
