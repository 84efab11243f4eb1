// What a user can ask of an expansion. Field names are the configuration keys and, in kebab-case,
// the flags.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "expand/element.h"

namespace orchard::expand {

// How the bigger model is made (docs/methods/lemon-expand.md, "Methods").
enum class Method {
  kLemon,
  kNet2Net,
  kFpi,
  kAki,
  kStackBert,
  kInterpolate,
  kSolar,
  kSlices,
  kLlamaPro,
  kHyperCloning,
  kZeroPad,
  kLigoInit,
  kLesa,
  kRandom
};
inline constexpr cli::EnumName<Method> kMethodNames[] = {{"lemon", Method::kLemon},
                                                         {"net2net", Method::kNet2Net},
                                                         {"fpi", Method::kFpi},
                                                         {"aki", Method::kAki},
                                                         {"stackbert", Method::kStackBert},
                                                         {"interpolate", Method::kInterpolate},
                                                         {"solar", Method::kSolar},
                                                         {"slices", Method::kSlices},
                                                         {"llama-pro", Method::kLlamaPro},
                                                         {"hypercloning", Method::kHyperCloning},
                                                         {"zero-pad", Method::kZeroPad},
                                                         {"ligo-init", Method::kLigoInit},
                                                         {"lesa", Method::kLesa},
                                                         {"random", Method::kRandom}};
constexpr auto EnumNames(Method) { return std::span(kMethodNames); }
const char* Name(Method method);

inline constexpr cli::EnumName<Split> kSplitNames[] = {{"grid", Split::kGrid},
                                                       {"projection", Split::kProjection},
                                                       {"complement", Split::kComplement},
                                                       {"equal", Split::kEqual}};
constexpr auto EnumNames(Split) { return std::span(kSplitNames); }

// What a new layer's outputs are at the start: zero, or parts that cancel over the copies of a head
// or hidden unit.
enum class DepthType { kAuto, kZero, kCancel };
inline constexpr cli::EnumName<DepthType> kDepthTypeNames[] = {
    {"auto", DepthType::kAuto}, {"zero", DepthType::kZero}, {"cancel", DepthType::kCancel}};
constexpr auto EnumNames(DepthType) { return std::span(kDepthTypeNames); }

// Where new layers stand.
enum class Placement { kLast, kInterpolate, kStack, kLlamaPro };
inline constexpr cli::EnumName<Placement> kPlacementNames[] = {
    {"last", Placement::kLast},
    {"interpolate", Placement::kInterpolate},
    {"stack", Placement::kStack},
    {"llama-pro", Placement::kLlamaPro}};
constexpr auto EnumNames(Placement) { return std::span(kPlacementNames); }

// What the inner weights of a new layer are.
enum class Inner {
  kCopy,  // those of the layer beside it
  kAki    // extra heads and hidden units come from the layer after it
};
inline constexpr cli::EnumName<Inner> kInnerNames[] = {{"copy", Inner::kCopy},
                                                       {"aki", Inner::kAki}};
constexpr auto EnumNames(Inner) { return std::span(kInnerNames); }

enum class StoredType { kKeep, kF32, kBf16, kF16, kF64 };
inline constexpr cli::EnumName<StoredType> kStoredTypeNames[] = {{"keep", StoredType::kKeep},
                                                                 {"f32", StoredType::kF32},
                                                                 {"bf16", StoredType::kBf16},
                                                                 {"f16", StoredType::kF16},
                                                                 {"f64", StoredType::kF64}};
constexpr auto EnumNames(StoredType) { return std::span(kStoredTypeNames); }

// Whether some tensors are stored wider than the rest.
enum class Widened { kAuto, kKeep, kF32 };
inline constexpr cli::EnumName<Widened> kWidenedNames[] = {
    {"auto", Widened::kAuto}, {"keep", Widened::kKeep}, {"f32", Widened::kF32}};
constexpr auto EnumNames(Widened) { return std::span(kWidenedNames); }

// Sizes of the target; those that are absent stay, except that heads follow hidden where the
// architecture ties them, and the inner width of a ResNet's basic blocks follows its channels.
struct TargetOptions {
  std::optional<int64_t> hidden, heads, kv_heads, ffn, layers;  // of a Transformer
  std::optional<int64_t> width_per_group, channels;             // of a ResNet
  std::vector<int64_t> depths;                                  // likewise; empty: as they are

  void Fields(cli::FieldVisitor& f) {
    f("hidden", hidden, "width of the residual stream", cli::AtLeast(1));
    f("heads", heads, "query heads", cli::AtLeast(1));
    f("kv_heads", kv_heads, "key-value heads", cli::AtLeast(1));
    f("ffn", ffn, "hidden units of the MLP (of each expert)", cli::AtLeast(1));
    f("layers", layers, "layers", cli::AtLeast(1));
    f("width_per_group", width_per_group,
      "ResNets: channels between the convolutions of stage 1's blocks; other stages follow",
      cli::AtLeast(1));
    f("channels", channels, "ResNets: channels after the stem; all stages follow", cli::AtLeast(1));
    f("depths", depths, "ResNets: blocks of each stage, e.g. 3,4,23,3", cli::AtLeast(1));
  }
};

// How the target's weights are made. Shared by expand, compare, train and repro.
struct MethodOptions {
  Method method = Method::kLemon;
  Split split = Split::kGrid;
  double noise_scale = 1.0;
  double pad_scale = 1.0;
  double pad_gamma = 1.0;
  DepthType depth_type = DepthType::kAuto;
  Placement placement = Placement::kLast;
  std::filesystem::path slices;
  int64_t solar_drop = 0;
  double hypercloning_snr = 0;
  int64_t lesa_epochs = 10;
  Inner inner = Inner::kCopy;
  bool untie = false;
  StoredType dtype = StoredType::kKeep;
  Widened norm_dtype = Widened::kAuto;
  Widened embed_dtype = Widened::kKeep;
  bool allow_lossy = false;
  bool allow_nonfinite = false;
  bool allow_odd_heads = false;
  std::filesystem::path arch_map;

  void Fields(cli::FieldVisitor& f) {
    f("method", method, "how the bigger model is made");
    f("split", split, "how a weight is divided over the copies of its input");
    f("noise_scale", noise_scale, "noise of the split, in units of the family's base",
      cli::AtLeast(0));
    f("pad_scale", pad_scale, "noise of padding columns, in units of the family's base",
      cli::AtLeast(0));
    f("pad_gamma", pad_gamma, "size of norm gains on padding; not zero, or padding never learns",
      cli::Positive());
    f("depth_type", depth_type, "outputs of new layers; auto: zero for text, cancel for images");
    f("placement", placement, "where new layers stand");
    f("slices", slices, "mergekit-style YAML with the layer ranges of --method slices");
    f("solar_drop", solar_drop, "layers that --method solar leaves out of each copy",
      cli::AtLeast(0));
    f("hypercloning_snr", hypercloning_snr,
      "dB of weight over noise for --method hypercloning; 0: no noise", cli::AtLeast(0));
    f("lesa_epochs", lesa_epochs, "passes of training --method lesa's networks", cli::AtLeast(1));
    f("inner", inner, "inner weights of new layers");
    f("untie", untie, "write a separate output head");
    f("dtype", dtype, "stored type of the target");
    f("norm_dtype", norm_dtype,
      "stored type of norm parameters; auto: f32 where 16 bits would round them");
    f("embed_dtype", embed_dtype, "stored type of embeddings");
    f("allow_lossy", allow_lossy, "go on where the architecture cannot be grown without loss");
    f("allow_nonfinite", allow_nonfinite, "accept NaN and infinity in the source");
    f("allow_odd_heads", allow_odd_heads, "write a width that transformers' loader refuses");
    f("arch_map", arch_map, "architecture table of your own (docs/formats.md)");
  }
};

}  // namespace orchard::expand
