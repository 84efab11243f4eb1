// cser-train export: the averaged model for other programs.
#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <map>
#include <string>

#include "base/atomic_file.h"
#include "base/error.h"
#include "cser-train/tensor_commands.h"
#include "io/torch/tensors.h"
#include "nn/script_network.h"

namespace orchard::cser_train {
namespace {

namespace fs = std::filesystem;

// The averaged model of a run, of its final directory, or of its newest or a given checkpoint.
fs::path AveragedFile(const fs::path& directory) {
  for (const char* name :
       {"final/model.safetensors", "model.safetensors", "averaged.safetensors"}) {
    if (fs::exists(directory / name)) return directory / name;
  }
  throw DataError("there is no averaged model", directory.string(),
                  "name a run that has ended, or one of its checkpoints");
}

// A state dict, as torch.save writes one. torch::jit::pickle_save would mark the types of
// containers, which torch.load refuses in files that it does not trust.
std::string TorchFile(const std::map<std::string, at::Tensor>& tensors) {
  c10::Dict<std::string, at::Tensor> dict;
  for (const auto& [name, tensor] : tensors) dict.insert(name, tensor);
  std::string pickle, file;
  torch::jit::Pickler pickler([&](const char* data, size_t size) { pickle.append(data, size); },
                              nullptr, nullptr, nullptr, nullptr, false);
  pickler.protocol();
  pickler.pushIValue(dict);
  pickler.stop();
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    file.append(static_cast<const char*>(data), size);
    return size;
  });
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  int64_t number = 0;
  for (const at::Tensor& tensor : pickler.tensorData()) {
    writer.writeRecord("data/" + std::to_string(number++), tensor.const_data_ptr(),
                       tensor.nbytes());
  }
  writer.writeEndOfFile();
  return file;
}

}  // namespace

int RunExport(const ExportOptions& options, const cli::Context& context) {
  const fs::path& to = options.to;
  const std::string kind = to.extension().string();
  if (kind != ".safetensors" && kind != ".pth" && kind != ".pt") {
    throw UsageError("unknown kind of file", to.string(), "name it with .safetensors or .pth");
  }
  if (options.module && kind == ".safetensors") {
    throw UsageError("a TorchScript module is no safetensors file", to.string(),
                     "name it with .pt");
  }
  if (fs::exists(to) && !context.common.force) {
    throw UsageError("there is a file already", to.string(), "--force overwrites it");
  }
  const fs::path file = AveragedFile(options.model);
  const auto tensors = io::ReadTensors(io::Checkpoint::Open(file));
  if (context.common.dry_run) return 0;
  if (options.module) {
    WriteFileAtomically(to, nn::ScriptModuleWith(*options.module, tensors));
  } else if (kind == ".safetensors") {
    io::SaveTensors(to, tensors, {{"format", "pt"}});
  } else {
    WriteFileAtomically(to, TorchFile(tensors));
  }
  int64_t elements = 0;
  for (const auto& [name, tensor] : tensors) elements += tensor.numel();
  fmt::print("{} tensors, {} numbers: {}\n", tensors.size(), elements, to.string());
  return 0;
}

}  // namespace orchard::cser_train
