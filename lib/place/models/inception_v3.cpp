// Inception-V3: block names are those of torchvision's.
#include <fmt/format.h>

#include "place/models/layers.h"
#include "place/models/models.h"

namespace orchard::place {
namespace {

class Inception {
 public:
  explicit Inception(ModelBuilder& builder) : builder_(builder) {}

  Value Stem(const Value& image) {
    Value x = Basic("Conv2d_1a_3x3", image, 32, Square(3, 2));
    x = Basic("Conv2d_2a_3x3", x, 32, Square(3));
    x = Basic("Conv2d_2b_3x3", x, 64, Square(3, 1, 1));
    x = MaxPool(builder_, "maxpool1", x, Square(3, 2));
    x = Basic("Conv2d_3b_1x1", x, 80, Square(1));
    x = Basic("Conv2d_4a_3x3", x, 192, Square(3));
    return MaxPool(builder_, "maxpool2", x, Square(3, 2));
  }

  Value A(const std::string& name, const Value& x, int64_t pool_channels) {
    const ModelBuilder::Scope scope(builder_, name);
    const Value a = Basic("branch1x1", x, 64, Square(1));
    const Value b =
        Basic("branch5x5_2", Basic("branch5x5_1", x, 48, Square(1)), 64, Square(5, 1, 2));
    Value c = Basic("branch3x3dbl_1", x, 64, Square(1));
    c = Basic("branch3x3dbl_2", c, 96, Square(3, 1, 1));
    c = Basic("branch3x3dbl_3", c, 96, Square(3, 1, 1));
    return Join({a, b, c, Pooled(x, pool_channels)});
  }

  Value B(const std::string& name, const Value& x) {
    const ModelBuilder::Scope scope(builder_, name);
    const Value a = Basic("branch3x3", x, 384, Square(3, 2));
    Value b = Basic("branch3x3dbl_1", x, 64, Square(1));
    b = Basic("branch3x3dbl_2", b, 96, Square(3, 1, 1));
    b = Basic("branch3x3dbl_3", b, 96, Square(3, 2));
    return Join({a, b, MaxPool(builder_, "pool", x, Square(3, 2))});
  }

  Value C(const std::string& name, const Value& x, int64_t inner) {
    const ModelBuilder::Scope scope(builder_, name);
    const Value a = Basic("branch1x1", x, 192, Square(1));
    Value b = Basic("branch7x7_1", x, inner, Square(1));
    b = Basic("branch7x7_2", b, inner, kWide7);
    b = Basic("branch7x7_3", b, 192, kTall7);
    Value c = Basic("branch7x7dbl_1", x, inner, Square(1));
    c = Basic("branch7x7dbl_2", c, inner, kTall7);
    c = Basic("branch7x7dbl_3", c, inner, kWide7);
    c = Basic("branch7x7dbl_4", c, inner, kTall7);
    c = Basic("branch7x7dbl_5", c, 192, kWide7);
    return Join({a, b, c, Pooled(x, 192)});
  }

  Value D(const std::string& name, const Value& x) {
    const ModelBuilder::Scope scope(builder_, name);
    const Value a =
        Basic("branch3x3_2", Basic("branch3x3_1", x, 192, Square(1)), 320, Square(3, 2));
    Value b = Basic("branch7x7x3_1", x, 192, Square(1));
    b = Basic("branch7x7x3_2", b, 192, kWide7);
    b = Basic("branch7x7x3_3", b, 192, kTall7);
    b = Basic("branch7x7x3_4", b, 192, Square(3, 2));
    return Join({a, b, MaxPool(builder_, "pool", x, Square(3, 2))});
  }

  Value E(const std::string& name, const Value& x) {
    const ModelBuilder::Scope scope(builder_, name);
    const Value a = Basic("branch1x1", x, 320, Square(1));
    const Value b = Basic("branch3x3_1", x, 384, Square(1));
    Value c = Basic("branch3x3dbl_1", x, 448, Square(1));
    c = Basic("branch3x3dbl_2", c, 384, Square(3, 1, 1));
    return Join({a, Basic("branch3x3_2a", b, 384, kWide3), Basic("branch3x3_2b", b, 384, kTall3),
                 Basic("branch3x3dbl_3a", c, 384, kWide3), Basic("branch3x3dbl_3b", c, 384, kTall3),
                 Pooled(x, 192)});
  }

 private:
  static constexpr Window kWide7{1, 7, 1, 0, 3}, kTall7{7, 1, 1, 3, 0}, kWide3{1, 3, 1, 0, 1},
      kTall3{3, 1, 1, 1, 0};

  // Convolution without bias, batch normalisation, ReLU.
  Value Basic(const std::string& name, const Value& x, int64_t channels, const Window& window) {
    const ModelBuilder::Scope scope(builder_, name, {.block_type = "BasicConv2d"});
    const Value convolved = Conv2d(builder_, "conv", x, channels, window);
    return Activation(builder_, "relu", "ReLU", BatchNorm(builder_, "bn", convolved));
  }
  Value Pooled(const Value& x, int64_t channels) {
    return Basic("branch_pool", AvgPool(builder_, "pool", x, Square(3, 1, 1)), channels, Square(1));
  }
  Value Join(const std::vector<Value>& branches) { return Concat(builder_, "concat", branches, 1); }

  ModelBuilder& builder_;
};

}  // namespace

Model InceptionV3(const ModelOptions& options) {
  const int64_t batch = options.batch.value_or(32), image = options.image.value_or(299);
  ModelBuilder builder(
      fmt::format("Inception-V3, batch {} of {} x {}, on {}", batch, image, image, options.preset),
      options);
  Inception inception(builder);
  Value x = inception.Stem(builder.Source("image", "Input", {batch, 3, image, image}));
  x = inception.A("Mixed_5b", x, 32);
  x = inception.A("Mixed_5c", x, 64);
  x = inception.A("Mixed_5d", x, 64);
  x = inception.B("Mixed_6a", x);
  x = inception.C("Mixed_6b", x, 128);
  x = inception.C("Mixed_6c", x, 160);
  x = inception.C("Mixed_6d", x, 160);
  x = inception.C("Mixed_6e", x, 192);
  x = inception.D("Mixed_7a", x);
  x = inception.E("Mixed_7b", x);
  x = inception.E("Mixed_7c", x);
  x = AvgPool(builder, "avgpool", x, {x.dims[2], x.dims[3]});
  x = Dropout(builder, "dropout", x);
  x.dims = {batch, x.dims[1]};
  const Value logits = Linear(builder, "fc", x, options.classes.value_or(1000), true);
  CrossEntropy(builder, "loss", logits, builder.Source("label", "Input", {batch}));
  return builder.Build();
}

}  // namespace orchard::place
