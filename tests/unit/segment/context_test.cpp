// Networks in context, streamed ensembles and cached tokens.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "segment/predictor.h"
#include "segment/streamed_attention.h"
#include "segment/token_cache.h"
#include "unit/scratch_dir.h"
#include "unit/segment/made_case.h"

namespace orchard::segment {
namespace {

at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
  at::manual_seed(seed);
  return at::randn(shape);
}

NetworkOptions InContext() {
  NetworkOptions options;
  options.mode = TemplateMode::kInContext;
  return options;
}

// Swapping the labels of the template swaps the logits, to the bit: no class has a place.
TEST(InContext, PermutingLabelsPermutesLogits) {
  const TemplateNetwork network(testing::MakePlan({16, 16, 16}), InContext(), 3);
  const c10::NoGradGuard no_gradient;
  const auto features = network.EncodeImage(Random({1, 1, 16, 16, 16}, 1));
  const at::Tensor example = Random({1, 1, 16, 16, 16}, 2);
  const at::Tensor labels = at::randint(0, 4, {1, 16, 16, 16}).to(at::kByte);
  const std::vector<int64_t> order = {1, 2, 3}, other = {3, 1, 2};
  const auto logits = [&](const std::vector<int64_t>& classes) {
    const auto tokens = network.EncodeTemplate(example, labels, classes);
    return network.Decode(features, tokens, false).logits[0];
  };
  const at::Tensor a = logits(order), b = logits(other);
  EXPECT_EQ(a.sizes(), (at::IntArrayRef{1, 4, 16, 16, 16}));
  for (size_t n = 0; n < 3; ++n) {
    const at::Tensor own = a.select(1, other[n]);
    EXPECT_LT((own - b.select(1, static_cast<int64_t>(n) + 1)).abs().max().item<double>(), 1e-5);
  }
  EXPECT_EQ(a.select(1, 0).abs().max().item<double>(), 0);
  // A class does not see which others are asked for.
  EXPECT_LT((logits({2}).select(1, 1) - a.select(1, 2)).abs().max().item<double>(), 1e-5);
}

TEST(InContext, AllItsParametersLearn) {
  TemplateNetwork network(testing::MakePlan({16, 12, 8}, 3, 4), InContext(), 1);
  network.parameters().RequireGrad(true);
  const at::Tensor labels = at::randint(0, 3, {2, 8, 12, 16}).to(at::kByte);
  const std::vector<int64_t> classes = {1, 2};
  const auto tokens = network.EncodeTemplate(Random({2, 1, 8, 12, 16}, 2), labels, classes);
  const Decoded d = network.Decode(network.EncodeImage(Random({2, 1, 8, 12, 16}, 1)), tokens, true);
  EXPECT_EQ(d.logits[0].sizes(), (at::IntArrayRef{2, 3, 8, 12, 16}));
  at::Tensor sum = d.logits[0].square().sum() + d.logits[1].square().sum();
  for (const at::Tensor& logits : d.similarity_logits) {
    EXPECT_EQ(logits.size(0), 2);
    EXPECT_EQ(logits.size(2), 3);
    sum = sum + logits.square().sum();
  }
  sum.backward();
  for (const nn::Parameter& p : network.parameters().all())
    ASSERT_TRUE(p.value.grad().defined()) << p.name;
}

TEST(InContext, NeedsATemplate) {
  NetworkOptions options = InContext();
  options.attention = AttentionKind::kOff;
  EXPECT_THROW(TemplateNetwork(testing::MakePlan({16, 16, 16}), options, 0), UsageError);
}

// Templates with other labels than the plan's, each with one of them: the label map has both, and
// parts of one class at a time say the same as all at once.
TEST(InContext, SegmentsWhatItsTemplatesShow) {
  const Plan plan = testing::MakePlan({16, 16, 16});
  const TemplateNetwork network(plan, InContext(), 7);
  PreparedCase a = testing::MakeCase("a", {16, 16, 16}, 1);
  PreparedCase b = testing::MakeCase("b", {16, 16, 16}, 2);
  for (uint8_t& v : a.labels) v = v == 1 ? 9 : 0;
  for (uint8_t& v : b.labels) v = v == 2 ? 4 : 0;
  const TemplateBank bank = MakeBank({a, b}, NumberedLabels(9), 0);
  ThreadPool pool(1);
  InferenceOptions options;
  options.templates = 2;
  Predictor at_once(network, bank, options, 0, pool);
  const std::vector<size_t> both = {0, 1};
  EXPECT_EQ(at_once.Asked(both), (std::vector<int64_t>{4, 9}));
  const PreparedCase c = testing::MakeCase("c", {21, 17, 30}, 3);
  const std::vector<uint8_t> labels = at_once.Segment(c.image, both).labels;
  for (const uint8_t v : labels) ASSERT_TRUE(v == 0 || v == 4 || v == 9);
  options.class_block = 1;
  Predictor one_by_one(network, bank, options, 0, pool);
  EXPECT_EQ(one_by_one.Segment(c.image, both).labels, labels);
  // A template without the class changes nothing of it.
  const std::vector<size_t> first = {0};
  std::vector<float> with, alone;
  at_once.Logits(c.image, both, [&](int64_t, int64_t count, const float* planes) {
    const int64_t plane = 21 * 17 * count;
    with.insert(with.end(), planes + 2 * plane, planes + 3 * plane);
  });
  at_once.Logits(c.image, first, [&](int64_t, int64_t count, const float* planes) {
    const int64_t plane = 21 * 17 * count;
    alone.insert(alone.end(), planes + plane, planes + 2 * plane);
  });
  ASSERT_EQ(with.size(), alone.size());
  for (size_t i = 0; i < with.size(); ++i) ASSERT_NEAR(with[i], alone[i], 1e-3);
}

// Adding templates one by one is attending to all of them at once.
TEST(StreamedAttention, IsAttentionToAllTokens) {
  const at::Tensor q = Random({2, 70, 12}, 1).to(at::kDouble);
  std::vector<TemplateTokens> parts;
  for (uint64_t n = 0; n < 5; ++n) {
    TemplateTokens t;
    t.k = Random({2, 33, 12}, 10 + n).to(at::kDouble);
    t.v = Random({2, 33, 7}, 20 + n).to(at::kDouble);
    t.mu = Random({2, 4, 33}, 30 + n).to(at::kDouble).clamp_min(0);
    t.mu.select(1, 3).zero_();              // a class that no template has
    if (n != 2) t.mu.select(1, 2).zero_();  // and one of a single template
    parts.push_back(t);
  }
  const at::Tensor tau = at::full({1}, 11.0, at::kDouble), beta = at::full({1}, 7.0, at::kDouble);
  StreamedAttention streamed(q, tau, beta);
  std::vector<std::vector<TemplateTokens>> all;
  for (const TemplateTokens& t : parts) {
    streamed.Add(t);
    all.push_back({t});
  }
  const AttentionResult a = streamed.Finish();
  const AttentionResult b = CosineAttention(q, Concatenate(all)[0], tau, beta);
  EXPECT_LT((a.context - b.context).abs().max().item<double>(), 1e-12);
  EXPECT_LT((a.similarity - b.similarity).abs().max().item<double>(), 1e-12);
  EXPECT_LT((a.weight - b.weight).abs().max().item<double>(), 1e-12);
}

// The head is linear: before or after the sum over windows.
TEST(Predictor, MakesLogitsOfWindowsOrOfTheirSum) {
  const Plan plan = testing::MakePlan({16, 16, 16});
  const TemplateNetwork network(plan, {}, 7);
  const TemplateBank bank = MakeBank({testing::MakeCase("a", {16, 16, 16}, 1)}, plan.labels, 0);
  ThreadPool pool(1);
  InferenceOptions early, late;
  early.late_head = false;
  late.late_head = true;
  early.tta = late.tta = {0};
  const PreparedCase c = testing::MakeCase("c", {21, 17, 30}, 3);
  const std::vector<size_t> templates = {0};
  const auto logits = [&](const InferenceOptions& options) {
    Predictor predictor(network, bank, options, 0, pool);
    std::vector<float> all(static_cast<size_t>(3 * 21 * 17 * 30));
    predictor.Logits(c.image, templates, [&](int64_t first, int64_t count, const float* planes) {
      for (int64_t k = 0; k < 3; ++k)
        std::copy_n(planes + k * count * 21 * 17, count * 21 * 17,
                    all.begin() + (k * 30 + first) * 21 * 17);
    });
    return all;
  };
  const std::vector<float> a = logits(early), b = logits(late);
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4);
}

class TokenCacheTest : public ::testing::Test {
 protected:
  TokenCacheTest() : network_(plan_, {}, 7) {
    bank_ =
        MakeBank({testing::MakeCase("a", {20, 16, 14}, 1), testing::MakeCase("b", {16, 16, 16}, 2)},
                 plan_.labels, 0);
  }

  TokenCache Make(int64_t memory = 100'000'000) {
    return {network_, bank_, memory, dir_ / "tokens", pool_};
  }

  std::vector<std::filesystem::path> Files() const {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(dir_ / "tokens"))
      files.push_back(entry.path());
    return files;
  }

  const testing::ScratchDir dir_;
  Plan plan_ = testing::MakePlan({16, 16, 16});
  TemplateNetwork network_;
  TemplateBank bank_;
  ThreadPool pool_{1};
};

void ExpectEqual(const std::vector<TemplateTokens>& a, const std::vector<TemplateTokens>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t n = 0; n < a.size(); ++n) {
    EXPECT_TRUE(at::equal(a[n].k, b[n].k));
    EXPECT_TRUE(at::equal(a[n].v, b[n].v));
    EXPECT_TRUE(at::equal(a[n].mu, b[n].mu));
  }
}

TEST_F(TokenCacheTest, ReadsWhatAnotherWrote) {
  const TemplateCrop crop{.bank_case = 1};
  TokenCache first = Make(), second = Make();
  const auto written = first.Get(crop);
  EXPECT_EQ(first.counts().encoded, 1);
  const auto read = second.Get(crop);
  EXPECT_EQ(second.counts().encoded, 0);
  EXPECT_EQ(second.counts().from_disk, 1);
  EXPECT_EQ(second.counts().found, 1);
  ExpectEqual(*written, *read);
  second.Get(crop);
  EXPECT_EQ(second.counts().from_memory, 1);
}

TEST_F(TokenCacheTest, OtherWeightsAreOtherTokens) {
  const TemplateCrop crop{.bank_case = 0};
  Make().Get(crop);
  {
    const c10::NoGradGuard no_gradient;
    network_.parameters().Get("fuse.1.k.bias").add_(1e-3);
  }
  TokenCache changed = Make();
  changed.Get(crop);
  EXPECT_EQ(changed.counts().encoded, 1);
  EXPECT_EQ(Files().size(), 2u);
}

TEST_F(TokenCacheTest, AnotherTemplateOfTheSameNameIsAnother) {
  const TemplateCrop crop{.bank_case = 0};
  Make().Get(crop);
  bank_.cases[0].labels[100] ^= 1;
  TokenCache changed = Make();
  changed.Get(crop);
  EXPECT_EQ(changed.counts().encoded, 1);
}

// One bit of the values, the header, or the end of the file.
TEST_F(TokenCacheTest, DamagedFilesAreMadeAnew) {
  const TemplateCrop crop{.bank_case = 0};
  const auto good = Make().Get(crop);
  ASSERT_EQ(Files().size(), 1u);
  const std::filesystem::path file = Files()[0];
  const auto size = std::filesystem::file_size(file);
  const auto damage = [&](const std::function<void()>& how) {
    how();
    TokenCache cache = Make();
    ExpectEqual(*cache.Get(crop), *good);
    EXPECT_EQ(cache.counts().damaged, 1);
    EXPECT_EQ(cache.counts().encoded, 1);
    EXPECT_EQ(std::filesystem::file_size(file), size);
  };
  const auto flip = [&](std::streamoff at) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(at);
    const char byte = static_cast<char>(stream.get() ^ 4);
    stream.seekp(at);
    stream.put(byte);
  };
  damage([&] { flip(static_cast<std::streamoff>(size) - 10); });
  damage([&] { flip(8); });  // the header
  damage([&] { std::filesystem::resize_file(file, size / 2); });
  damage([&] { std::ofstream(file).put('x'); });
}

TEST_F(TokenCacheTest, KeepsWhatFitsIntoMemory) {
  const int64_t one = [&] {
    TokenCache cache = Make();
    cache.Get({.bank_case = 0});
    return cache.bytes();
  }();
  TokenCache cache = Make(one);
  cache.Get({.bank_case = 0});
  cache.Get({.bank_case = 1});
  EXPECT_LE(cache.bytes(), one);
  cache.Get({.bank_case = 0});
  EXPECT_EQ(cache.counts().from_memory, 0);
  TokenCache none = Make(0);
  none.Get({.bank_case = 0});
  EXPECT_EQ(none.bytes(), 0);
}

// A bank in a file chooses and predicts as the one in memory.
TEST_F(TokenCacheTest, ABankInAFileIsTheSameBank) {
  WriteBank(dir_ / "bank.h5", bank_, plan_);
  const TemplateBank stored = ReadBank(dir_ / "bank.h5", plan_);
  EXPECT_TRUE(stored.cases[0].image.values.empty());
  EXPECT_EQ(stored.Open(0)->labels, bank_.cases[0].labels);
  EXPECT_EQ(stored.Hash(1), bank_.Hash(1));
  InferenceOptions options;
  options.templates = 2;
  options.select = TemplateSelect::kNearest;
  options.token_memory = 0;
  const PreparedCase c = testing::MakeCase("c", {21, 17, 30}, 3);
  Predictor first(network_, bank_, options, 0, pool_), second(network_, stored, options, 0, pool_);
  const SegmentedImage a = first.Segment(c.image, "c"), b = second.Segment(c.image, "c");
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.templates, b.templates);
}

TEST_F(TokenCacheTest, ABankOfAnotherPlanIsRefused) {
  WriteBank(dir_ / "bank.h5", bank_, plan_);
  Plan other = plan_;
  other.spacing = {1, 1, 2};
  EXPECT_THROW(ReadBank(dir_ / "bank.h5", other), DataError);
}

}  // namespace
}  // namespace orchard::segment
