#include "expand/logits_compare.h"

#include "expand/logits_element.h"

namespace orchard::expand {

void LogitsCompare(const LogitsCompareArgs& args, ThreadPool& pool) {
  pool.ForEach(args.rows, [&](int64_t row) {
    DispatchFloat(args.type, [&](auto t) {
      const auto* a = static_cast<const decltype(t)*>(args.a) + row * args.classes;
      const auto* b = static_cast<const decltype(t)*>(args.b) + row * args.classes;
      LogitsState state;
      for (int64_t c = 0; c < args.classes; ++c) AddClass(state, c, Widen(a[c]), Widen(b[c]));
      args.result[row] = {state.max_difference, state.max_logit, KullbackLeibler(state),
                          state.top_a == state.top_b};
    });
  });
}

}  // namespace orchard::expand
