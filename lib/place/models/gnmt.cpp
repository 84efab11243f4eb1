// GNMT v2: an encoder whose first layer runs in both directions, a decoder whose first layer
// attends to it, LSTM cells unrolled over time as TensorFlow's NMT program does. Cells of a layer
// share their weights, which are therefore operators of their own.
#include <fmt/format.h>

#include <algorithm>

#include "place/models/layers.h"
#include "place/models/models.h"

namespace orchard::place {
namespace {

struct State {
  Value c, h;
};

// Weights of one LSTM layer in one direction.
struct LstmWeights {
  Value kernel, bias;
};

class Translator {
 public:
  Translator(ModelBuilder& builder, const ModelOptions& options)
      : builder_(builder),
        batch_(options.batch.value_or(128)),
        length_(options.length.value_or(40)),
        width_(options.hidden.value_or(512)),
        layers_(options.layers.value_or(4)),
        vocabulary_(options.vocabulary.value_or(30000)),
        gpus_(options.gpus) {}

  void Build() {
    Encode();
    Decode();
  }

 private:
  int32_t Gpu(int64_t layer) const { return static_cast<int32_t>(layer % gpus_); }
  // From the third layer on, a layer's input is added to its output: the second one's input is
  // twice as wide in the encoder, and the decoder follows the encoder.
  static bool IsResidual(int64_t layer) { return layer >= 2; }

  LstmWeights Weights(int64_t in) {
    return {builder_.Variable("kernel", {in + width_, 4 * width_}),
            builder_.Variable("bias", {4 * width_})};
  }
  Value Zeros(const std::string& name) {
    return builder_.Source(name, "Constant", {batch_, width_});
  }

  // One cell with its group; `inputs` are concatenated. Returns the new state and the output.
  State Cell(const std::string& name, const std::vector<Value>& inputs, const State& state,
             const LstmWeights& weights, bool residual, Value& output) {
    const ModelBuilder::Scope scope(builder_, name,
                                    {.group = path_ + name, .block_type = "LSTMCell"});
    std::vector<Value> parts = inputs;
    parts.push_back(state.h);
    Value gates = MatMul(builder_, "matmul", Concat(builder_, "concat", parts, 1), weights.kernel);
    gates = Plus(builder_, "bias_add", {gates, weights.bias});
    const Dims one = {batch_, width_};
    const std::vector<Value> split = builder_.AddAll(
        {.name = "split", .type = "Split", .outputs = {one, one, one, one}}, {gates});
    const Value input = Activation(builder_, "input_gate", "Sigmoid", split[0]);
    const Value candidate = Activation(builder_, "candidate", "Tanh", split[1]);
    const Value forget = Activation(builder_, "forget_gate", "Sigmoid", split[2]);
    const Value open = Activation(builder_, "output_gate", "Sigmoid", split[3]);
    State next;
    next.c = Plus(
        builder_, "cell",
        {Times(builder_, "forget", forget, state.c), Times(builder_, "write", input, candidate)});
    next.h = Times(builder_, "hidden", open, Activation(builder_, "cell_tanh", "Tanh", next.c));
    output = residual ? Plus(builder_, "residual", {next.h, inputs[0]}) : next.h;
    return next;
  }

  // Embeddings of all steps, apart. The table and its reader share a device.
  std::vector<Value> Embed(const std::string& name) {
    const ModelBuilder::Scope scope(builder_, name, {.group = path_ + name});
    const Value table = builder_.Variable("table", {vocabulary_, width_});
    const Value ids = builder_.Source("ids", "Input", {length_, batch_});
    const Dims all = {length_, batch_, width_};
    const Value rows = builder_.Add(
        {.name = "lookup", .type = "Gather", .outputs = {all}, .traffic = 2 * Elements(all) * 4},
        {table, ids});
    return builder_.AddAll({.name = "unstack",
                            .type = "Unstack",
                            .outputs = std::vector<Dims>(length_, Dims{batch_, width_})},
                           {rows});
  }

  void Encode() {
    path_ = "encoder/";
    const ModelBuilder::Scope encoder(builder_, "encoder", {.expert = 0});
    std::vector<Value> x = Embed("embedding");
    for (int64_t layer = 0; layer < layers_; ++layer) {
      const ModelBuilder::Scope scope(builder_, fmt::format("layer{}", layer),
                                      {.expert = Gpu(layer)});
      path_ = fmt::format("encoder/layer{}/", layer);
      if (layer == 0) {
        const std::vector<Value> forward = Direction("forward", x, layer, false);
        const std::vector<Value> backward = Direction("backward", x, layer, true);
        for (int64_t t = 0; t < length_; ++t)
          x[t] = Concat(builder_, fmt::format("join{}", t), {forward[t], backward[t]}, 1);
      } else {
        x = Direction("", x, layer, false);
      }
    }
    const ModelBuilder::Scope scope(builder_, "output", {.expert = Gpu(layers_ - 1)});
    const Dims dims = {batch_, length_, x[0].dims[1]};
    memory_ = builder_.Add({.name = "stack", .type = "Stack", .outputs = {dims}}, x);
  }

  // All steps of a layer of the encoder; its last state becomes the decoder's first.
  std::vector<Value> Direction(const std::string& name, const std::vector<Value>& x, int64_t layer,
                               bool reversed) {
    const std::string outer = path_;
    std::optional<ModelBuilder::Scope> scope;
    if (!name.empty()) {
      scope.emplace(builder_, name);
      path_ += name + "/";
    }
    const LstmWeights weights = Weights(x[0].dims[1]);
    State state{Zeros("zero_c"), Zeros("zero_h")};
    std::vector<Value> y(x.size());
    for (int64_t step = 0; step < length_; ++step) {
      const int64_t t = reversed ? length_ - 1 - step : step;
      state = Cell(fmt::format("t{}", t), {x[t]}, state, weights, IsResidual(layer), y[t]);
    }
    states_.resize(layers_);
    states_[layer] = state;
    path_ = outer;
    return y;
  }

  // Bahdanau's additive attention over the encoder's outputs.
  Value Attend(int64_t t, const Value& keys, const Value& query_weights, const Value& v,
               const Value& state) {
    const std::string name = fmt::format("t{}", t);
    const ModelBuilder::Scope scope(
        builder_, name, {.group = "decoder/attention/" + name, .block_type = "BahdanauAttention"});
    const Value query = MatMul(builder_, "query", state, query_weights);
    const Value mixed = Activation(builder_, "tanh", "Tanh", Plus(builder_, "add", {keys, query}));
    const Value score = builder_.Add({.name = "score",
                                      .type = "MatVec",
                                      .flops = 2 * static_cast<double>(mixed.elements()),
                                      .outputs = {{batch_, length_}},
                                      .dense = true,
                                      .keeps_inputs = true},
                                     {mixed, v});
    return BatchMatMul(builder_, "context", Softmax(builder_, "softmax", score), memory_,
                       {batch_, memory_.dims[2]}, length_);
  }

  void Decode() {
    path_ = "decoder/";
    const ModelBuilder::Scope decoder(builder_, "decoder", {.expert = 0});
    std::vector<Value> x = Embed("embedding"), context(length_);
    for (int64_t layer = 0; layer < layers_; ++layer) {
      path_ = fmt::format("decoder/layer{}/", layer);
      const ModelBuilder::Scope scope(builder_, fmt::format("layer{}", layer),
                                      {.expert = Gpu(layer)});
      if (layer == 0) {
        FirstLayer(x, context);
        continue;
      }
      const LstmWeights weights = Weights(x[0].dims[1] + context[0].dims[1]);
      State state = states_[layer];
      for (int64_t t = 0; t < length_; ++t) {
        const std::vector<Value> inputs = {x[t], context[t]};
        state = Cell(fmt::format("t{}", t), inputs, state, weights, IsResidual(layer), x[t]);
      }
    }
    const ModelBuilder::Scope scope(builder_, "output",
                                    {.expert = static_cast<int32_t>(gpus_ - 1)});
    Predict(x);
  }

  // Cells and attention take turns: a cell reads the context of the step before.
  void FirstLayer(std::vector<Value>& x, std::vector<Value>& context) {
    const int64_t memory_width = memory_.dims[2];
    const LstmWeights weights = Weights(width_ + memory_width);
    std::optional<ModelBuilder::Scope> attention;
    attention.emplace(builder_, "attention");
    const Value keys = MatMul(builder_, "keys", memory_,
                              builder_.Variable("memory_kernel", {memory_width, width_}));
    const Value query_weights = builder_.Variable("query_kernel", {width_, width_});
    // The vector of the scores, its norm and the bias inside tanh.
    const Value v = builder_.Variable("score", {2 * width_ + 1});
    Value before = builder_.Source("zero_context", "Constant", {batch_, memory_width});
    attention.reset();
    State state = states_[0];
    for (int64_t t = 0; t < length_; ++t) {
      const std::vector<Value> inputs = {x[t], before};
      state = Cell(fmt::format("t{}", t), inputs, state, weights, false, x[t]);
      const ModelBuilder::Scope scope(builder_, "attention");
      before = context[t] = Attend(t, keys, query_weights, v, x[t]);
    }
  }

  void Predict(const std::vector<Value>& x) {
    const Value weights = builder_.Variable("projection", {width_, vocabulary_});
    std::vector<Value> losses;
    for (int64_t t = 0; t < length_; ++t) {
      const ModelBuilder::Scope step(builder_, fmt::format("t{}", t), {.block_type = "Projection"});
      const Value label = builder_.Source("label", "Input", {batch_});
      losses.push_back(
          CrossEntropy(builder_, "loss", MatMul(builder_, "logits", x[t], weights), label));
    }
    Plus(builder_, "loss", losses);
  }

  ModelBuilder& builder_;
  int64_t batch_, length_, width_, layers_, vocabulary_, gpus_;
  std::string path_;  // of the scopes that are open, as groups are called
  Value memory_;      // the encoder's outputs
  std::vector<State> states_;
};

}  // namespace

Model Gnmt(const ModelOptions& options) {
  ModelBuilder builder(
      fmt::format("GNMT v2, {} layers of width {}, batch {} of length {}, on {}",
                  options.layers.value_or(4), options.hidden.value_or(512),
                  options.batch.value_or(128), options.length.value_or(40), options.preset),
      options);
  Translator(builder, options).Build();
  return builder.Build();
}

}  // namespace orchard::place
