#include "nn/script_network.h"

#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <sstream>
#include <utility>
#include <vector>

#include "base/error.h"

namespace orchard::nn {
namespace {

namespace jit = torch::jit;

// What went wrong, of the many lines that LibTorch and its interpreter tell.
std::string LastLine(const std::exception& error) {
  const auto* own = dynamic_cast<const c10::Error*>(&error);
  std::string text = own != nullptr ? own->what_without_backtrace() : error.what();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const size_t line = text.rfind('\n');
  return line == std::string::npos ? text : text.substr(line + 1);
}

jit::Module LoadModule(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) throw DataError("there is no such file", file.string());
  try {
    return jit::load(file.string(), at::Device(at::kCPU));
  } catch (const std::exception&) {
    throw DataError("this is no TorchScript module", file.string(),
                    "save one with torch.jit.script(model).save(path)");
  }
}

// The attribute of a submodule that a dotted name tells.
struct Attribute {
  jit::Module owner;
  std::string name;
};
Attribute Find(const jit::Module& root, const std::string& name) {
  jit::Module owner = root;
  size_t begin = 0;
  for (size_t dot = 0; (dot = name.find('.', begin)) != std::string::npos; begin = dot + 1) {
    owner = owner.attr(name.substr(begin, dot - begin)).toModule();
  }
  return {owner, name.substr(begin)};
}

class ScriptNetwork : public ImageNetwork {
 public:
  ScriptNetwork(std::filesystem::path file, const ImageNetworkOptions& options)
      : ImageNetwork(options), file_(std::move(file)), module_(LoadModule(file_)) {
    module_.train(training_);
    for (const auto& parameter : module_.named_parameters()) {
      Take(parameter.name, parameter.value, !parameter.value.requires_grad());
    }
    if (trained_elements() == 0) {
      throw DataError("the module has no parameter to train", file_.string(),
                      "a frozen or traced-away one cannot be trained; save it unfrozen");
    }
    for (const auto& buffer : module_.named_buffers()) {
      if (buffer.value.is_floating_point()) Take(buffer.name, buffer.value, true);
    }
  }

  at::Tensor Forward(const at::Tensor& images, bool training) const override {
    if (training != training_) module_.train(training_ = training);
    c10::IValue output;
    try {
      output = module_.forward({images});
    } catch (const std::exception& error) {
      throw DataError(
          fmt::format("the module fails for images {}: {}", Text(images.sizes()), LastLine(error)),
          file_.string());
    }
    const std::vector<int64_t> wanted = {images.size(0), options_.shape.classes};
    if (!output.isTensor() || output.toTensor().sizes() != wanted) {
      throw DataError(
          fmt::format("the module gives {} for images {}",
                      output.isTensor() ? Text(output.toTensor().sizes()) : output.tagKind(),
                      Text(images.sizes())),
          file_.string(), fmt::format("logits {} are wanted", Text(wanted)));
    }
    return output.toTensor();
  }

 private:
  static std::string Text(at::IntArrayRef sizes) {
    return fmt::format("{}", fmt::join(sizes, "x"));
  }

  void Take(const std::string& name, at::Tensor value, bool measured) {
    if (value.scalar_type() != at::kFloat) {
      throw DataError(fmt::format("'{}' has numbers of another type than f32", name),
                      file_.string(), "save the module after model.float()");
    }
    const auto [first, fresh] = by_memory_.try_emplace(value.const_data_ptr(), value);
    if (!fresh && value.numel() > 0) {
      if (first->second.sizes() != value.sizes() || first->second.strides() != value.strides()) {
        throw DataError(fmt::format("'{}' is a part of another tensor's memory", name),
                        file_.string(), "give it memory of its own");
      }
      Attribute attribute = Find(module_, name);
      attribute.owner.setattr(attribute.name, first->second);
      return;
    }
    if (!value.is_contiguous()) value.set_data(value.detach().contiguous());
    Add(name, value, measured);
  }

  std::filesystem::path file_;
  mutable jit::Module module_;
  mutable bool training_ = true;
  std::map<const void*, at::Tensor> by_memory_;  // of tensors as they came
};

}  // namespace

std::unique_ptr<ImageNetwork> LoadScriptNetwork(const std::filesystem::path& file,
                                                const ImageNetworkOptions& options) {
  return std::make_unique<ScriptNetwork>(file, options);
}

std::string ScriptModuleWith(const std::filesystem::path& file,
                             const std::map<std::string, at::Tensor>& tensors) {
  const jit::Module module = LoadModule(file);
  std::map<std::string, at::Tensor> places;
  for (const auto& parameter : module.named_parameters()) places[parameter.name] = parameter.value;
  for (const auto& buffer : module.named_buffers()) places[buffer.name] = buffer.value;
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    const auto place = places.find(name);
    if (place == places.end() || place->second.sizes() != tensor.sizes()) {
      throw DataError(fmt::format("the module has no '{}' of this shape", name), file.string(),
                      "name the module that was trained");
    }
    place->second.copy_(tensor);
  }
  std::ostringstream bytes;
  module.save(bytes);
  return bytes.str();
}

}  // namespace orchard::nn
