#include "nn/device.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace orchard::nn {
namespace {

TEST(Device, TakesTheNamesOfTheCommandLine) {
  EXPECT_TRUE(ResolveDevice("cpu").is_cpu());
  for (const char* text : {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", ""}) {
    EXPECT_THROW(ResolveDevice(text), UsageError) << text;
  }
}

TEST(Device, CudaIsADeviceOrAClearError) {
  try {
    const c10::Device device = ResolveDevice("cuda");
    EXPECT_TRUE(device.is_cuda());
    EXPECT_GT(CudaDeviceCount(), 0);
    EXPECT_TRUE(ResolveDevice("auto").is_cuda());
  } catch (const ResourceError& error) {
    EXPECT_NE(std::string(error.what()).find("--device cpu"), std::string::npos) << error.what();
    EXPECT_TRUE(ResolveDevice("auto").is_cpu());
  }
}

}  // namespace
}  // namespace orchard::nn
