#include "segment/token_cache.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/logging.h"
#include "io/torch/tensors.h"
#include "segment/augment.h"
#include "segment/prepare.h"
#include "volume/resize.h"

namespace orchard::segment {
namespace {

namespace fs = std::filesystem;
using volume::Size3;

constexpr const char* kFormat = "orchard-template-tokens 1";
constexpr int64_t kNowhere = std::numeric_limits<int64_t>::min();

std::span<const std::byte> BytesOf(const at::Tensor& t) {
  return {static_cast<const std::byte*>(t.const_data_ptr()), t.nbytes()};
}

// k, v and mu of every level by their names in a file.
std::map<std::string, at::Tensor> Named(const std::vector<TemplateTokens>& tokens) {
  std::map<std::string, at::Tensor> named;
  for (size_t at = 0; at < tokens.size(); ++at) {
    named[fmt::format("{}.k", at)] = tokens[at].k.cpu().contiguous();
    named[fmt::format("{}.v", at)] = tokens[at].v.cpu().contiguous();
    named[fmt::format("{}.mu", at)] = tokens[at].mu.cpu().contiguous();
  }
  return named;
}

std::string ContentHash(const std::map<std::string, at::Tensor>& named) {
  Sha256 hash;
  for (const auto& [name, tensor] : named) {
    hash.Update(std::as_bytes(std::span(name)));
    hash.Update(BytesOf(tensor));
  }
  return hash.Hex();
}

int64_t BytesOf(const std::vector<TemplateTokens>& tokens) {
  size_t bytes = 0;
  for (const TemplateTokens& t : tokens) bytes += t.k.nbytes() + t.v.nbytes() + t.mu.nbytes();
  return static_cast<int64_t>(bytes);
}

}  // namespace

at::Tensor Flip(const at::Tensor& x, int64_t flips) {
  std::vector<int64_t> axes;
  for (int64_t a = 0; a < 3; ++a)
    if (flips >> a & 1) axes.push_back(x.dim() - 1 - a);
  return axes.empty() ? x : x.flip(axes);
}

const Size3 TemplateCrop::kWhole = {kNowhere, kNowhere, kNowhere};

std::string ModelHash(const TemplateNetwork& network) {
  Sha256 hash;
  // Half precision and another device round otherwise.
  const std::string text = fmt::format("{} {} {}", ToJson(network.options()).dump(),
                                       ToJson(network.plan()).dump(), network.Arithmetic());
  hash.Update(std::as_bytes(std::span(text)));
  for (const nn::Parameter& p : network.parameters().all()) {
    hash.Update(std::as_bytes(std::span(p.name)));
    hash.Update(BytesOf(p.value.detach().cpu().contiguous()));
  }
  return hash.Hex();
}

TokenCache::TokenCache(const TemplateNetwork& network, const TemplateBank& bank, int64_t memory,
                       std::optional<fs::path> folder, ThreadPool& pool)
    : network_(network), bank_(bank), memory_(memory), folder_(std::move(folder)), pool_(pool) {
  if (!folder_) return;
  std::error_code error;
  fs::create_directories(*folder_, error);
  if (error) throw ResourceError("cannot make the folder: " + error.message(), folder_->string());
  model_ = ModelHash(network);
}

void TokenCache::Clear() {
  entries_.clear();
  order_.clear();
  bytes_ = 0;
  if (folder_) model_ = ModelHash(network_);
}

std::string TokenCache::Key(const TemplateCrop& crop) {
  std::string& of_case = template_[crop.bank_case];
  if (of_case.empty()) of_case = bank_.Hash(crop.bank_case);
  return fmt::format("{}; model {}; template {}; start {}; mirrored {}; classes {}", kFormat,
                     model_, of_case,
                     crop.start == TemplateCrop::kWhole ? "whole" : fmt::format("{}", crop.start),
                     crop.flips, crop.classes);
}

TokenCache::Tokens TokenCache::Read(const fs::path& file, const std::string& key) {
  if (!fs::exists(file)) return nullptr;
  try {
    const auto stored = io::Checkpoint::Open(file);
    const auto& metadata = stored.metadata();
    const auto names = metadata.find("key"), content = metadata.find("sha256");
    if (names == metadata.end() || names->second != key) throw DataError("it is of other tokens");
    const std::map<std::string, at::Tensor> named = io::ReadTensors(stored);
    if (content == metadata.end() || content->second != ContentHash(named))
      throw DataError("its content has changed");
    auto tokens = std::make_shared<std::vector<TemplateTokens>>();
    for (size_t at = 0; at < network_.levels().size(); ++at) {
      const auto get = [&](const char* what) {
        return named.at(fmt::format("{}.{}", at, what)).to(network_.device());
      };
      tokens->push_back({get("k"), get("v"), get("mu")});
    }
    return tokens;
  } catch (const std::exception& problem) {
    ++counts_.damaged;
    LogWarning("made anew: " + file.string() + ": " + problem.what());
    return nullptr;
  }
}

void TokenCache::Write(const fs::path& file, const std::string& key,
                       const std::vector<TemplateTokens>& tokens) const {
  const std::map<std::string, at::Tensor> named = Named(tokens);
  // Several processes may fill one folder.
  fs::path own = file;
  own += fmt::format(".{}", getpid());
  io::SaveTensors(own, named, {{"key", key}, {"sha256", ContentHash(named)}}, false);
  fs::rename(own, file);
}

std::vector<TemplateTokens> TokenCache::Encode(const TemplateCrop& crop) {
  const c10::NoGradGuard no_gradient;
  const std::shared_ptr<const PreparedCase> c = bank_.Open(crop.bank_case);
  const Size3& patch = network_.plan().patch;
  Patch cut;
  if (crop.start == TemplateCrop::kWhole) {
    using volume::Interpolation;
    constexpr volume::Interpolation3 kLinear = {Interpolation::kLinear, Interpolation::kLinear,
                                                Interpolation::kLinear};
    cut.image = Stretch(c->image, patch, pool_);
    cut.labels = volume::ResizeLabels(std::span<const uint8_t>(c->labels), c->image.size, patch,
                                      kLinear, pool_);
  } else {
    cut = CutPatch(c->image.values.data(), c->labels.data(), c->image.channels, c->image.size,
                   patch, crop.start, SpatialChange{});
  }
  const at::Tensor image =
      Flip(at::from_blob(cut.image.data(), {1, c->image.channels, patch[2], patch[1], patch[0]},
                         at::kFloat)
               .to(network_.device()),
           crop.flips);
  const at::Tensor labels =
      Flip(at::from_blob(cut.labels.data(), {1, patch[2], patch[1], patch[0]}, at::kByte)
               .to(network_.device()),
           crop.flips);
  std::vector<TemplateTokens> tokens = network_.EncodeTemplate(image, labels, crop.classes);
  // For a class that the template as a whole does not have it says nothing, not even "elsewhere":
  // it may show it unlabelled.
  for (size_t n = 0; n < crop.classes.size(); ++n) {
    if (bank_.Has(crop.bank_case, crop.classes[n])) continue;
    for (TemplateTokens& t : tokens) t.mu.select(0, static_cast<int64_t>(n)).zero_();
  }
  return tokens;
}

TokenCache::Tokens TokenCache::Get(const TemplateCrop& crop) {
  if (const auto found = entries_.find(crop); found != entries_.end()) {
    ++counts_.from_memory;
    order_.splice(order_.begin(), order_, found->second.place);
    return found->second.tokens;
  }
  Tokens tokens;
  fs::path file;
  std::string key;
  if (folder_) {
    key = Key(crop);
    file = *folder_ / (Sha256Hex(std::as_bytes(std::span(key))).substr(0, 32) + ".safetensors");
    tokens = Read(file, key);
    if (tokens) {
      ++counts_.from_disk;
      if (files_.insert(file).second) ++counts_.found;
    }
  }
  if (!tokens) {
    tokens = std::make_shared<std::vector<TemplateTokens>>(Encode(crop));
    ++counts_.encoded;
    if (folder_) {
      Write(file, key, *tokens);
      files_.insert(file);
    }
  }
  const int64_t bytes = BytesOf(*tokens);
  while (!order_.empty() && bytes_ + bytes > memory_) {
    const auto oldest = entries_.find(order_.back());
    bytes_ -= oldest->second.bytes;
    entries_.erase(oldest);
    order_.pop_back();
  }
  if (bytes_ + bytes > memory_) return tokens;
  order_.push_front(crop);
  entries_.emplace(crop, Entry{tokens, bytes, order_.begin()});
  bytes_ += bytes;
  return tokens;
}

}  // namespace orchard::segment
