#include "segment/template_choice.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"
#include "data/random_stream.h"

namespace orchard::segment {
namespace {

// Dice of each class of `a`, with b's labels stretched over it; classes that neither has do not
// count.
double MeanDice(const PreparedCase& a, const PreparedCase& b, int64_t classes) {
  const auto k = static_cast<size_t>(classes) + 1;
  std::vector<int64_t> both(k), of_a(k), of_b(k);
  const volume::Size3& to = a.image.size;
  const volume::Size3& from = b.image.size;
  size_t at = 0;
  for (int64_t z = 0; z < to[2]; ++z) {
    const int64_t fz = (2 * z + 1) * from[2] / (2 * to[2]);
    for (int64_t y = 0; y < to[1]; ++y) {
      const int64_t fy = (2 * y + 1) * from[1] / (2 * to[1]);
      for (int64_t x = 0; x < to[0]; ++x, ++at) {
        const int64_t fx = (2 * x + 1) * from[0] / (2 * to[0]);
        const uint8_t la = a.labels[at];
        const uint8_t lb = b.labels[static_cast<size_t>(volume::IndexOf(from, fx, fy, fz))];
        ++of_a[la];
        ++of_b[lb];
        both[la] += la == lb ? 1 : 0;
      }
    }
  }
  double sum = 0;
  int64_t counted = 0;
  for (size_t c = 1; c < k; ++c) {
    if (of_a[c] + of_b[c] == 0) continue;
    sum += 2.0 * static_cast<double>(both[c]) / static_cast<double>(of_a[c] + of_b[c]);
    ++counted;
  }
  return counted > 0 ? sum / static_cast<double>(counted) : 0;
}

}  // namespace

std::vector<double> MedoidScores(std::span<const PreparedCase> cases, int64_t classes) {
  std::vector<double> scores(cases.size());
  for (size_t a = 0; a < cases.size(); ++a) {
    for (size_t b = 0; b < cases.size(); ++b) {
      if (a != b) scores[b] += MeanDice(cases[a], cases[b], classes);
    }
  }
  for (double& s : scores) s /= static_cast<double>(std::max<size_t>(1, cases.size() - 1));
  return scores;
}

std::vector<size_t> ChooseTemplates(std::span<const PreparedCase> bank,
                                    std::span<const double> scores, const TemplateQuery& query,
                                    std::span<const float> thumbnail, const std::string& subject) {
  std::vector<size_t> order;
  for (size_t n = 0; n < bank.size(); ++n) {
    if (!subject.empty() && bank[n].subject == subject) continue;
    if (query.select == TemplateSelect::kFixed && bank[n].id != query.fixed) continue;
    order.push_back(n);
  }
  if (order.empty()) {
    if (query.select == TemplateSelect::kFixed) {
      throw UsageError("no template '" + query.fixed + "' of another subject", "--fixed");
    }
    throw UsageError("no template of another subject", subject);
  }
  std::vector<double> rank(bank.size());
  if (query.select == TemplateSelect::kMedoid) {
    std::copy(scores.begin(), scores.end(), rank.begin());
  } else if (query.select == TemplateSelect::kNearest) {
    for (const size_t n : order) rank[n] = Similarity(thumbnail, bank[n].thumbnail);
  } else {
    const std::string_view bytes(reinterpret_cast<const char*>(thumbnail.data()),
                                 thumbnail.size_bytes());
    data::RandomStream random(query.seed, "templates", Hash64(bytes));
    for (const size_t n : order) rank[n] = random.Uniform();
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return rank[a] > rank[b]; });
  order.resize(std::min(order.size(), static_cast<size_t>(query.count)));
  return order;
}

int64_t ClampStart(int64_t start, int64_t size, int64_t patch) {
  if (size <= patch) return -((patch - size) / 2);
  return std::clamp<int64_t>(start, 0, size - patch);
}

volume::Size3 RelativeStart(const volume::Box& target_body, const volume::Size3& target_start,
                            const volume::Box& template_body, const volume::Size3& template_size,
                            const volume::Size3& patch, bool quantise) {
  volume::Size3 start{};
  for (size_t a = 0; a < 3; ++a) {
    const double half = static_cast<double>(patch[a]) / 2;
    const auto extent = static_cast<double>(std::max<int64_t>(1, target_body.size()[a]));
    double place = (static_cast<double>(target_start[a] - target_body.lo[a]) + half) / extent;
    if (quantise) place = std::round(place * 8) / 8;
    const double centre = static_cast<double>(template_body.lo[a]) +
                          place * static_cast<double>(template_body.size()[a]);
    start[a] = ClampStart(std::llround(centre - half), template_size[a], patch[a]);
  }
  return start;
}

}  // namespace orchard::segment
