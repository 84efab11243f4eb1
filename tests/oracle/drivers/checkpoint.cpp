// Copies checkpoints and prints HDF5 files, for tests/oracle/safetensors_test.py.
//
//   orchard-checkpoint copy IN OUT           any checkpoint to one safetensors file
//   orchard-checkpoint hdf5 FILE NAME...     datasets as JSON
//   orchard-checkpoint write-hdf5 FILE       a fixed example
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/hdf5.h"
#include "io/safetensors.h"

namespace orchard::io {
namespace {

void Copy(const std::string& from, const std::string& to) {
  const Checkpoint checkpoint = Checkpoint::Open(from);
  RefuseQuantized(checkpoint);
  SafetensorsWriter writer(to, SafetensorsLayout(checkpoint.tensors(), checkpoint.metadata()));
  for (const TensorInfo& tensor : checkpoint.tensors())
    writer.Write(tensor, 0, checkpoint.Bytes(tensor));
  writer.Finish();
}

nlohmann::json Print(const Hdf5File& file, const std::string& name) {
  const Hdf5Info info = file.Info(name);
  nlohmann::json out = {{"shape", info.shape}};
  if (info.is_string) {
    out["values"] = file.ReadStrings(name);
  } else {
    out["values"] = file.Read<double>(name);
  }
  for (const char* attribute : {"classes", "title"}) {
    if (!file.HasAttribute(name, attribute)) continue;
    std::visit([&](const auto& value) { out["attributes"][attribute] = value; },
               file.GetAttribute(name, attribute));
  }
  return out;
}

void WriteHdf5(const std::string& path) {
  std::vector<uint8_t> values(24);
  std::iota(values.begin(), values.end(), uint8_t{0});
  Hdf5File file = Hdf5File::Create(path);
  file.Write<uint8_t>("data/images", std::span(values).first(6), {1, 3, 2}, {}, true);
  file.Append<uint8_t>("data/images", std::span(values).subspan(6));
  file.WriteStrings("names", std::vector<std::string>{"eins", "zwei"});
  file.SetAttribute("data/images", "title", std::string("ramp"));
  file.SetAttribute("data/images", "classes", int64_t{7});
  file.Finish();
}

int Run(const std::vector<std::string>& arguments) {
  if (arguments.size() == 3 && arguments[0] == "copy") {
    Copy(arguments[1], arguments[2]);
  } else if (arguments.size() > 1 && arguments[0] == "hdf5") {
    const Hdf5File file = Hdf5File::Open(arguments[1]);
    nlohmann::json out;
    for (size_t i = 2; i < arguments.size(); ++i) out[arguments[i]] = Print(file, arguments[i]);
    std::puts(out.dump().c_str());
  } else if (arguments.size() == 2 && arguments[0] == "write-hdf5") {
    WriteHdf5(arguments[1]);
  } else {
    return static_cast<int>(ExitCode::kUsage);
  }
  return 0;
}

}  // namespace
}  // namespace orchard::io

int main(int argc, char** argv) {
  try {
    return orchard::io::Run({argv + 1, argv + argc});
  } catch (const orchard::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
}
