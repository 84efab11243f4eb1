// Segmenting a prepared image: windows, templates, and what is made of their logits.
//
// Source: docs/methods/siamese-seg.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "base/thread_pool.h"
#include "segment/predict_options.h"
#include "segment/template_bank.h"
#include "segment/template_network.h"
#include "volume/device_windows.h"

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
  // into labels there, too. Throws UsageError where the network needs templates
  // and the bank has none.
  Predictor(const TemplateNetwork& network, const TemplateBank& bank,
            const InferenceOptions& options, uint64_t seed, ThreadPool& pool);

  // Called with planes of the logits [K + 1, count, J, I] in order, as volume::WindowSum does.
  using Sink = std::function<void(int64_t first, int64_t count, const float* planes)>;

  // Windows over the image; templates of `subject` are never used. `also` sees the logits, too.
  SegmentedImage Segment(const PreparedImage& image, const std::string& subject,
                         const Sink& also = {});

  void Logits(const PreparedImage& image, std::span<const size_t> templates, const Sink& sink);

  std::vector<size_t> Choose(const PreparedImage& image, const std::string& subject) const;

  // Forgets encoded templates: after the weights have changed.
  void ClearCache() { cache_.clear(); }

 private:
  struct Crop {
    size_t bank_case;
    volume::Size3 start;
    int64_t flips;  // a bit an axis
    auto operator<=>(const Crop&) const = default;
  };
  const std::vector<TemplateTokens>& Encode(const Crop& crop);
  Crop CropFor(const PreparedImage& image, const volume::Size3& start, size_t bank_case,
               int64_t flips);
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

  const TemplateNetwork& network_;
  const TemplateBank& bank_;
  InferenceOptions options_;
  uint64_t seed_;
  ThreadPool& pool_;
  std::map<Crop, std::vector<TemplateTokens>> cache_;
  std::map<size_t, Matches> matches_;  // of the image at hand
};

// Dice of every class, 1 to `classes`; NaN where neither label map has it.
std::vector<double> DiceScores(std::span<const uint8_t> predicted, std::span<const uint8_t> truth,
                               int64_t classes);

}  // namespace orchard::segment
