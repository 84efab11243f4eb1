#include "execute/gnmt_model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

namespace orchard::execute {
namespace {

class Translator {
 public:
  Translator(ScriptBuilder& builder, const ModelOptions& options)
      : builder_(builder), options_(options), width_(options.width) {
    builder.AddBuffer("zero_state", at::zeros({options.batch, width_}));
    builder.AddBuffer("zero_context", at::zeros({options.batch, MemoryWidth()}));
  }

  std::string Build() {
    Encode();
    return Decode();
  }

 private:
  struct State {
    std::string h, c;
  };

  // The first layer runs in both directions, whose outputs lie side by side.
  int64_t MemoryWidth() const { return options_.layers > 1 ? width_ : 2 * width_; }
  static bool IsResidual(int64_t layer) { return layer >= 2; }

  // A cell of one layer; all steps call it, so they share its weights.
  void AddCell(const std::string& name, int64_t in) {
    builder_.AddLayer(
        name, "x, h, c",
        "  gates = torch.linear(torch.cat([x, h], 1), self.kernel, self.bias)\n"
        "  write, candidate, forget, show = torch.chunk(gates, 4, 1)\n"
        "  c = torch.sigmoid(forget + 1.0) * c + torch.sigmoid(write) * "
        "torch.tanh(candidate)\n"
        "  return torch.sigmoid(show) * torch.tanh(c), c\n",
        {{"kernel", {4 * width_, in + width_}, in + width_}, {"bias", {4 * width_}, in + width_}});
  }

  void Step(const std::string& cell, const std::string& x, State& state) {
    const std::string both =
        builder_.Line(fmt::format("self.{}.forward({}, {}, {})", cell, x, state.h, state.c));
    state = {both + "[0]", both + "[1]"};
  }

  // Rows of the table, step by step.
  std::vector<std::string> Embed(const std::string& name, const std::string& ids) {
    const std::string rows = builder_.Embedding(name, ids, options_.vocabulary, width_);
    std::vector<std::string> steps;
    for (int64_t t = 0; t < options_.length; ++t)
      steps.push_back(builder_.Line(fmt::format("torch.select({}, 1, {})", rows, t)));
    return steps;
  }

  // All steps of a layer of the encoder.
  std::vector<std::string> Direction(const std::string& cell, const std::vector<std::string>& x,
                                     int64_t in, bool reversed, bool residual, State& state) {
    AddCell(cell, in);
    state = {"self.zero_state", "self.zero_state"};
    std::vector<std::string> y(x.size());
    for (size_t step = 0; step < x.size(); ++step) {
      const size_t t = reversed ? x.size() - 1 - step : step;
      Step(cell, x[t], state);
      y[t] = residual ? builder_.Line(fmt::format("torch.add({}, {})", state.h, x[t])) : state.h;
    }
    return y;
  }

  void Encode() {
    std::vector<std::string> x = Embed("source_embedding", "source");
    states_.resize(options_.layers);
    for (int64_t layer = 0; layer < options_.layers; ++layer) {
      const std::string name = fmt::format("encoder{}", layer);
      if (layer > 0) {
        x = Direction(name, x, layer == 1 ? 2 * width_ : width_, false, IsResidual(layer),
                      states_[layer]);
        continue;
      }
      State forward;
      const std::vector<std::string> there =
          Direction(name + "_forward", x, width_, false, false, forward);
      const std::vector<std::string> back =
          Direction(name + "_backward", x, width_, true, false, states_[0]);
      for (size_t t = 0; t < x.size(); ++t)
        x[t] = builder_.Line(fmt::format("torch.cat([{}, {}], 1)", there[t], back[t]));
    }
    memory_ = builder_.Line(fmt::format("torch.stack([{}], 1)", fmt::join(x, ", ")));
  }

  std::string Decode() {
    std::vector<std::string> x = Embed("target_embedding", "target");
    std::vector<std::string> context(x.size());
    for (int64_t layer = 0; layer < options_.layers; ++layer) {
      const std::string name = fmt::format("decoder{}", layer);
      AddCell(name, width_ + MemoryWidth());
      State state = states_[layer];
      if (layer == 0) Attention();
      std::string before = "self.zero_context";
      for (size_t t = 0; t < x.size(); ++t) {
        const std::string& other = layer == 0 ? before : context[t];
        Step(name, fmt::format("torch.cat([{}, {}], 1)", x[t], other), state);
        x[t] = IsResidual(layer) ? builder_.Line(fmt::format("torch.add({}, {})", state.h, x[t]))
                                 : state.h;
        if (layer > 0) continue;
        before = context[t] =
            builder_.Line(fmt::format("self.attention.forward({}, {}, {})", x[t], keys_, memory_));
      }
    }
    const std::string all = builder_.Line(fmt::format("torch.stack([{}], 0)", fmt::join(x, ", ")));
    return builder_.Linear("projection", all, width_, options_.vocabulary, false);
  }

  // Bahdanau's: of the state and keys [batch, length, width] to the context.
  void Attention() {
    keys_ = builder_.Linear("attention_keys", memory_, MemoryWidth(), width_, false);
    builder_.AddLayer("attention", "state, keys, memory",
                      "  query = torch.unsqueeze(torch.linear(state, self.query), 1)\n"
                      "  score = torch.matmul(torch.tanh(keys + query), self.score)\n"
                      "  weight = torch.unsqueeze(torch.softmax(score, 1), 1)\n"
                      "  return torch.squeeze(torch.matmul(weight, memory), 1)\n",
                      {{"query", {width_, width_}, width_}, {"score", {width_}, width_}});
  }

  ScriptBuilder& builder_;
  const ModelOptions& options_;
  int64_t width_;
  std::string memory_, keys_;  // the encoder's outputs [batch, length, width], and as keys
  std::vector<State> states_;  // last ones of the encoder's layers
};

}  // namespace

std::string BuildGnmt(ScriptBuilder& builder, const ModelOptions& options) {
  return Translator(builder, options).Build();
}

}  // namespace orchard::execute
