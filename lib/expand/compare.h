// All methods that reach a size from one source, side by side: what each keeps of the source's
// function, how far its copies are apart, what it costs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "expand/options.h"
#include "expand/verify.h"

namespace orchard::expand {

struct CompareOptions {
  TargetOptions target;
  ComputeType compute = ComputeType::kF32;
  std::filesystem::path tokens;
  int64_t batch = 8;
  int64_t length = 64;
  std::filesystem::path scratch;

  void Fields(cli::FieldVisitor& f) {
    f.Section("target", target);
    f("compute", compute, "arithmetic of the forward passes");
    f("tokens", tokens,
      "text file, a sequence per line, read with the source's tokenizer; default: random inputs");
    f("batch", batch, "sequences or images", cli::Between(1, 4096));
    f("length", length, "tokens of a sequence", cli::Between(2, 1 << 20));
    f("scratch", scratch, "where grown models are made and removed (default: the system's)");
  }
};

struct MethodOutcome {
  Method method = Method::kLemon;
  std::string refused;  // why the method cannot reach the target; empty: it can
  bool lossless = false;
  std::string exactness;
  int64_t layers = 0, parameters = 0;
  double seconds = 0;   // of the expansion
  double relative = 0;  // largest difference of an output, over its largest value
  std::optional<double> loss, kullback_leibler, top1_agreement, cosine_difference;
  std::optional<double> divergence;  // of copied units; nothing where none was copied
};

struct Comparison {
  std::optional<double> source_loss;  // nats per token; of decoders
  std::vector<MethodOutcome> methods;
};

// Grows `source` by every method and compares over the same inputs. `on_method` is called before
// each. Throws DataError for a damaged source, UsageError for a target smaller than the source.
Comparison Compare(const std::filesystem::path& source, const CompareOptions& options,
                   uint64_t seed, int threads,
                   const std::function<void(std::string_view method)>& on_method = {});

}  // namespace orchard::expand
