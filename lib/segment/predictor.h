// Segmenting a prepared image: windows, templates, and what is made of their logits.
//
// Source: docs/methods/siamese-seg.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "segment/predict_options.h"
#include "segment/template_bank.h"
#include "segment/template_network.h"
#include "segment/token_cache.h"
#include "volume/device_windows.h"
#include "volume/sliding_window.h"

namespace orchard::segment {

// One segmented image.
struct SegmentedImage {
  std::vector<uint8_t> labels;         // of the turned scan, frame.whole
  std::vector<std::string> templates;  // ids, best first
  std::vector<std::string> warnings;
  double seconds = 0;
};

class Predictor {
 public:
  // `network` and `bank` outlive the predictor. On a GPU windows are cut out, added up and turned
  // into labels there, too; `cache` is a folder for encoded templates. Throws
  // UsageError where the network needs templates and the bank has none.
  Predictor(const TemplateNetwork& network, const TemplateBank& bank,
            const InferenceOptions& options, uint64_t seed, ThreadPool& pool,
            std::optional<std::filesystem::path> cache = {});

  // Called with planes of the logits [K + 1, count, J, I] of the background and Asked, in order, as
  // volume::WindowSum does.
  using Sink = std::function<void(int64_t first, int64_t count, const float* planes)>;

  // Windows over the image; templates of `subject` are never used. `also` sees the logits, too.
  SegmentedImage Segment(const PreparedImage& image, const std::string& subject,
                         const Sink& also = {});
  // With these templates. Labels are those of the bank in context, else the plan's.
  SegmentedImage Segment(const PreparedImage& image, std::span<const size_t> templates,
                         const Sink& also = {});

  // The labels 1, 2, ... that the channels of logits stand for: in context what some of the
  // templates has.
  std::vector<int64_t> Asked(std::span<const size_t> templates) const;

  void Logits(const PreparedImage& image, std::span<const size_t> templates, const Sink& sink);

  // Encodes what an image of the same size and shape as the template would need of it.
  void Warm(size_t bank_case);

  std::vector<size_t> Choose(const PreparedImage& image, const std::string& subject) const;

  // Forgets encoded templates: after the weights have changed.
  void ClearCache() { cache_.Clear(); }
  const TokenCache& cache() const { return cache_; }

  // Where the windows of an image begin, what a window sees of a template, and its tokens.
  volume::WindowGrid Windows(const PreparedImage& image) const;
  TemplateCrop CropFor(const PreparedImage& image, const volume::Size3& start, size_t bank_case,
                       int64_t flips, std::span<const int64_t> classes);
  TokenCache::Tokens Tokens(const TemplateCrop& crop) { return cache_.Get(crop); }

 private:
  // align = search: where the template shows what the image shows, by attention between both as
  // wholes.
  struct Matches {
    at::Tensor place;   // [N, 3]: of the match of each target token, parts of the template's size
    at::Tensor weight;  // [N]: how much of it is foreground
  };
  const Matches& Search(const PreparedImage& image, size_t bank_case);
  volume::Size3 SearchedStart(const PreparedImage& image, const volume::Size3& start,
                              size_t bank_case);
  // window [1, M, K, J, I], not flipped.
  at::Tensor WindowLogits(const PreparedImage& image, const at::Tensor& window,
                          const volume::Size3& start, std::span<const size_t> templates,
                          int64_t flips);
  // Calls `add` with the logits [1, K + 1, K, J, I] of every window of the grid, in order.
  void ForEachWindow(const PreparedImage& image, const volume::WindowGrid& grid,
                     std::span<const size_t> templates,
                     const std::function<void(const at::Tensor&)>& add);
  bool OnDevice() const;
  volume::DeviceStream Stream() const;
  // Of `classes` in context, which are few enough for one pass.
  at::Tensor BlockLogits(const PreparedImage& image, const volume::Size3& start,
                         const std::vector<at::Tensor>& features, std::span<const size_t> templates,
                         int64_t flips, std::span<const int64_t> classes);
  std::vector<AttentionResult> Attend(const std::vector<at::Tensor>& features,
                                      const std::vector<TemplateTokens>& tokens) const;
  // Logits [1, K + 1, ...] of the window, by the decoder or the similarities.
  at::Tensor Answer(const std::vector<at::Tensor>& features,
                    const std::vector<AttentionResult>& attended) const;
  at::Tensor AverageLogits(const std::vector<at::Tensor>& features,
                           std::span<const TemplateCrop> crops, std::span<const int64_t> classes);

  const TemplateNetwork& network_;
  const TemplateBank& bank_;
  InferenceOptions options_;
  uint64_t seed_;
  ThreadPool& pool_;
  TokenCache cache_;
  bool late_head_ = false;             // WindowLogits are features
  std::map<size_t, Matches> matches_;  // of the image at hand
};

// Dice of every class, 1 to `classes`; NaN where neither label map has it.
std::vector<double> DiceScores(std::span<const uint8_t> predicted, std::span<const uint8_t> truth,
                               int64_t classes);

}  // namespace orchard::segment
