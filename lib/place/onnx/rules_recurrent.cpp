// LSTM, GRU and RNN over a whole sequence, and attention.
#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

struct Recurrence {
  int64_t steps = kOpen, batch = kOpen, input = kOpen, hidden = kOpen, directions = 1;
  bool batch_first = false;
};

Recurrence Read(const OpCall& call) {
  Recurrence r;
  r.directions = call.Text("direction", "forward") == "bidirectional" ? 2 : 1;
  r.batch_first = call.Int("layout", 0) != 0;
  if (call.Ranked(0)) {
    const Shape& x = call.ShapeOf(0);
    if (x.size() != 3) call.Fail("the sequence does not have three axes");
    r.steps = x[r.batch_first ? 1 : 0];
    r.batch = x[r.batch_first ? 0 : 1];
    r.input = x[2];
  }
  if (call.Ranked(2) && call.Rank(2) == 3) r.hidden = call.ShapeOf(2)[2];
  const int64_t stated = call.Int("hidden_size", kOpen);
  if (r.hidden < 0) r.hidden = stated;
  if (stated >= 0 && r.hidden != stated) call.Fail("the weights are for another 'hidden_size'");
  return r;
}

void Recurrent(OpCall& call) {
  const Recurrence r = Read(call);
  const int32_t element = call.In(0).element;
  const Shape state = r.batch_first ? Shape{r.batch, r.directions, r.hidden}
                                    : Shape{r.directions, r.batch, r.hidden};
  call.Set(0, element,
           r.batch_first ? Shape{r.batch, r.steps, r.directions, r.hidden}
                         : Shape{r.steps, r.directions, r.batch, r.hidden});
  call.Set(1, element, state);
  call.Set(2, element, state);
}

// 2 kGates B H (I + H) for each step and direction: an LSTM cell is 8 B H (I + H).
template <int kGates>
double RecurrentFlops(const OpCall& call) {
  const Recurrence r = Read(call);
  return 2.0 * kGates * static_cast<double>(r.steps) * static_cast<double>(r.directions) *
         static_cast<double>(r.batch) * static_cast<double>(r.hidden) *
         static_cast<double>(r.input + r.hidden);
}

constexpr OpRule kRules[] = {
    {"GRU", Recurrent, RecurrentFlops<3>, kDense | kSavesInputs | kSavesOutput},
    {"LSTM", Recurrent, RecurrentFlops<4>, kDense | kSavesInputs | kSavesOutput},
    {"RNN", Recurrent, RecurrentFlops<1>, kDense | kSavesInputs | kSavesOutput},
};

// ---- attention (operator set 23): Q, K, V with three or four axes

struct Heads {
  int64_t batch = kOpen, query_heads = kOpen, queries = kOpen, head = kOpen;
  int64_t key_heads = kOpen, keys = kOpen, value_head = kOpen;
  bool packed = false;  // [batch, length, heads * size] instead of [batch, heads, length, size]
  bool known = false;
};

Heads ReadHeads(const OpCall& call) {
  Heads h;
  if (!call.Ranked(0) || !call.Ranked(1) || !call.Ranked(2)) return h;
  const Shape &q = call.ShapeOf(0), &k = call.ShapeOf(1), &v = call.ShapeOf(2);
  if (q.size() != k.size() || k.size() != v.size() || (q.size() != 3 && q.size() != 4))
    call.Fail("Q, K and V do not have three or four axes each");
  h.known = true;
  h.batch = q[0];
  h.packed = q.size() == 3;
  if (h.packed) {
    h.query_heads = call.Int("q_num_heads", 0);
    h.key_heads = call.Int("kv_num_heads", 0);
    if (h.query_heads < 1 || h.key_heads < 1) call.Fail("the number of heads is missing");
    h.queries = q[1];
    h.head = q[2] < 0 ? q[2] : q[2] / h.query_heads;
    h.keys = k[1];
    h.value_head = v[2] < 0 ? v[2] : v[2] / h.key_heads;
  } else {
    h.query_heads = q[1];
    h.queries = q[2];
    h.head = q[3];
    h.key_heads = k[1];
    h.keys = k[2];
    h.value_head = v[3];
  }
  return h;
}

// Keys with those of earlier calls (`past_key`).
int64_t AllKeys(const OpCall& call, const Heads& h) {
  if (!call.Ranked(4) || call.Rank(4) != 4 || call.ShapeOf(4)[2] < 0 || h.keys < 0) return h.keys;
  return h.keys + call.ShapeOf(4)[2];
}

void Attention(OpCall& call) {
  const int32_t element = call.In(0).element;
  const Heads h = ReadHeads(call);
  if (!h.known) {
    for (size_t k = 0; k < call.outputs.size(); ++k) call.Set(k, element, std::nullopt);
    return;
  }
  const int64_t keys = AllKeys(call, h);
  call.Set(0, element,
           h.packed ? Shape{h.batch, h.queries, Product(h.query_heads, h.value_head)}
                    : Shape{h.batch, h.query_heads, h.queries, h.value_head});
  call.Set(1, element, Shape{h.batch, h.key_heads, keys, h.head});
  call.Set(2, element, Shape{h.batch, h.key_heads, keys, h.value_head});
  call.Set(3, element, Shape{h.batch, h.query_heads, h.queries, keys});
}

// Scores, softmax at five a score, and the weighted sum.
double AttentionFlops(const OpCall& call) {
  const Heads h = ReadHeads(call);
  if (!h.known) return 0;
  const double scores = static_cast<double>(h.batch) * static_cast<double>(h.query_heads) *
                        static_cast<double>(h.queries) * static_cast<double>(AllKeys(call, h));
  return scores * (2.0 * static_cast<double>(h.head) + 5 + 2.0 * static_cast<double>(h.value_head));
}

constexpr OpRule kAttention[] = {
    {"Attention", Attention, AttentionFlops, kDense | kSavesInputs | kSavesOutput},
    {"RotaryEmbedding", SameAsInput, PerOutput<3>, kSavesInputs},
};

}  // namespace

std::span<const OpRule> RecurrentRules() { return kRules; }
std::span<const OpRule> AttentionRules() { return kAttention; }

}  // namespace orchard::place::onnx
