// The CPU as a LibTorch device, through the installed orchard and the LibTorch it was built with.
#include "nn/device.h"

int main() { return orchard::nn::ResolveDevice("cpu").is_cpu() ? 0 : 1; }
