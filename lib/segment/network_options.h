// How the template steers the network: what a plan leaves open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "segment/plan.h"

namespace orchard::segment {

enum class AttentionKind { kPairwise, kPrototype, kWindow, kMean, kDot, kNone, kOff };
inline constexpr cli::EnumName<AttentionKind> kAttentionKindNames[] = {
    {"pairwise", AttentionKind::kPairwise},
    {"prototype", AttentionKind::kPrototype},
    {"window", AttentionKind::kWindow},
    {"mean", AttentionKind::kMean},
    {"dot", AttentionKind::kDot},
    {"none", AttentionKind::kNone},
    {"off", AttentionKind::kOff}};
constexpr auto EnumNames(AttentionKind) { return std::span(kAttentionKindNames); }

enum class EncoderShare { kAllButStem, kNone };
inline constexpr cli::EnumName<EncoderShare> kEncoderShareNames[] = {
    {"all_but_stem", EncoderShare::kAllButStem}, {"none", EncoderShare::kNone}};
constexpr auto EnumNames(EncoderShare) { return std::span(kEncoderShareNames); }

enum class TemplateMode { kJoint, kPerClass, kInContext };
inline constexpr cli::EnumName<TemplateMode> kTemplateModeNames[] = {
    {"joint", TemplateMode::kJoint},
    {"per_class", TemplateMode::kPerClass},
    {"in_context", TemplateMode::kInContext}};
constexpr auto EnumNames(TemplateMode) { return std::span(kTemplateModeNames); }

enum class ForegroundInput { kRegionAndMask, kRegion, kMask };
inline constexpr cli::EnumName<ForegroundInput> kForegroundInputNames[] = {
    {"region+mask", ForegroundInput::kRegionAndMask},
    {"region", ForegroundInput::kRegion},
    {"mask", ForegroundInput::kMask}};
constexpr auto EnumNames(ForegroundInput) { return std::span(kForegroundInputNames); }

enum class Blocks { kNnunet, kClassic };
inline constexpr cli::EnumName<Blocks> kBlocksNames[] = {{"nnunet", Blocks::kNnunet},
                                                         {"classic", Blocks::kClassic}};
constexpr auto EnumNames(Blocks) { return std::span(kBlocksNames); }

enum class TemplateStem { kFull, kStrided };
inline constexpr cli::EnumName<TemplateStem> kTemplateStemNames[] = {
    {"full", TemplateStem::kFull}, {"strided", TemplateStem::kStrided}};
constexpr auto EnumNames(TemplateStem) { return std::span(kTemplateStemNames); }

enum class Fusion { kConcat, kResidual };
inline constexpr cli::EnumName<Fusion> kFusionNames[] = {{"concat", Fusion::kConcat},
                                                         {"residual", Fusion::kResidual}};
constexpr auto EnumNames(Fusion) { return std::span(kFusionNames); }

struct NetworkOptions {
  AttentionKind attention = AttentionKind::kPairwise;
  EncoderShare share = EncoderShare::kAllButStem;
  TemplateMode mode = TemplateMode::kJoint;
  ForegroundInput foreground = ForegroundInput::kRegionAndMask;
  Blocks blocks = Blocks::kNnunet;
  TemplateStem stem = TemplateStem::kFull;
  Fusion fuse = Fusion::kConcat;
  std::vector<int64_t> levels;  // empty: the three coarsest stages within max_tokens
  int64_t max_tokens = 4096;
  int64_t key_channels = 128;
  double tau = 10, tau_max = 40;
  bool learn_tau = true;
  int64_t window = 3;

  void Fields(cli::FieldVisitor& f) {
    f("attention", attention,
      "how image and template meet; none: side by side, off: a U-Net without template");
    f("share", share, "weights that both encoders share");
    f("mode", mode,
      "template encoder: all classes in one pass, or a pass for each; in_context: encoder and "
      "decoder see one class at a time, so that any labels can be asked for");
    f("foreground", foreground, "what the template encoder sees of each class");
    f("blocks", blocks,
      "nnunet: instance norm, leaky ReLU, strided and transposed convolutions; classic: batch "
      "norm, "
      "ReLU, max-pooling, linear upsampling");
    f("stem", stem,
      "strided: the template's first convolution has the second stage's stride and replaces the "
      "finest stage, most of whose cost it saves");
    f("fuse", fuse, "how attention joins the features: concatenated and projected, or added");
    f("levels", levels, "stages that are fused, 0 the finest (default: the three coarsest)",
      cli::Between(0, 15));
    f("max_tokens", max_tokens, "no fusion by default at stages with more cells", cli::AtLeast(1));
    f("key_channels", key_channels, "channels of queries and keys, at most", cli::AtLeast(1));
    f("tau", tau, "inverse temperature of similarities at the start", cli::Between(0.01, 40));
    f("tau_max", tau_max, "largest inverse temperature", cli::Between(0.01, 40));
    f("learn_tau", learn_tau, "learn the inverse temperature");
    f("window", window, "attention = window: cells along each axis that a target sees",
      cli::AtLeast(0));
  }
};

// The stages that are fused, ascending; none where attention is off. Throws UsageError for a stage
// that the plan does not have.
std::vector<int64_t> FusedLevels(const NetworkOptions& options, const Plan& plan);

nlohmann::ordered_json ToJson(const NetworkOptions& options);
// Throw DataError naming the file, or `where`.
NetworkOptions NetworkOptionsFromJson(const nlohmann::json& json, const std::string& where);
NetworkOptions ReadNetworkOptions(const std::filesystem::path& file);

}  // namespace orchard::segment
