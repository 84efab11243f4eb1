// Writes a page that uses everything a report can hold, with invented numbers: for looking at, and
// for the page test.
//   example_page OUT.html
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/number_format.h"
#include "base/philox.h"
#include "run/report.h"

namespace orchard::run {
namespace {

double Noise(uint64_t index, uint64_t purpose) {
  return NoiseInteger(PhiloxAt(PhiloxKey(1, purpose), index)) * kNoiseUnit;
}

Series LossCurve(const std::string& name, double start, double end, double speed,
                 uint64_t purpose) {
  Series series{.name = name};
  for (int step = 0; step <= 2000; step += 10) {
    const double mean = end + (start - end) * std::exp(-step / speed);
    const double y = mean + 0.015 * Noise(static_cast<uint64_t>(step), purpose);
    series.x.push_back(step);
    series.y.push_back(y);
    series.low.push_back(y - 0.05 - 0.1 * std::exp(-step / 500.0));
    series.high.push_back(y + 0.05 + 0.1 * std::exp(-step / 500.0));
  }
  return series;
}

Chart LossChart() {
  Chart chart{.title = "Validation loss of the grown model, mean of 3 seeds",
              .x = {"step", ""},
              .y = {"loss", "nat"},
              .caption =
                  "Bands are 95 % intervals over seeds. The dip of a run that starts from the "
                  "source's loss is what growing without change buys."};
  chart.series = {LossCurve("LEMON", 2.9, 2.31, 700, 1), LossCurve("StackBERT", 4.1, 2.36, 450, 2),
                  LossCurve("from scratch", 5.5, 2.42, 520, 3)};
  return chart;
}

Chart GradientChart() {
  Chart chart{
      .title = "Gradient norm", .x = {"tokens", "", true}, .y = {"gradient norm", "", true}};
  Series series{.name = "gradient norm"};
  for (int i = 0; i < 30000; ++i) {
    series.x.push_back(4096.0 * (i + 1));
    series.y.push_back(30 / std::sqrt(1.0 + i) *
                       std::exp(0.4 * Noise(static_cast<uint64_t>(i), 4)));
  }
  series.y[20000] = std::nan("");  // a gap
  chart.series = {series};
  return chart;
}

Chart ShareChart() {
  return {.kind = Chart::Kind::kBar,
          .title = "Time of a step",
          .x = {"method", ""},
          .y = {"time", "ms"},
          .categories = {"dense", "64 times less"},
          .stacked = true,
          .series = {{.name = "compute", .y = {10, 10}}, {.name = "wire", .y = {250, 4}}}};
}

Chart SpeedChart() {
  return {.kind = Chart::Kind::kBar,
          .title = "Time to expand a 2 GB checkpoint",
          .x = {"method", ""},
          .y = {"wall time", "s"},
          .categories = {"lemon-expand", "plain copy", "in memory", "passthrough"},
          .series = {{.name = "1 thread",
                      .y = {9.8, 8.1, 61.0, 14.2},
                      .low = {9.5, 7.8, 58.0, 13.6},
                      .high = {10.3, 8.5, 66.5, 15.1}},
                     {.name = "2 threads",
                      .y = {6.1, 5.6, 44.0, 13.9},
                      .low = {5.9, 5.4, 41.0, 13.2},
                      .high = {6.4, 5.9, 46.2, 14.4}}},
          .caption = "Whiskers span the fastest and the slowest of five runs."};
}

Chart SizeChart() {
  Chart chart{.kind = Chart::Kind::kScatter,
              .title = "Largest difference by tensor size",
              .x = {"elements", "", true},
              .y = {"largest difference", "", true}};
  for (int group = 0; group < 3; ++group) {
    Series series{.name = std::vector<std::string>{"attention", "feed-forward", "norm"}[group]};
    for (int i = 0; i < 14; ++i) {
      const uint64_t index = static_cast<uint64_t>(group * 100 + i);
      series.x.push_back(std::pow(10.0, 3 + group + 0.25 * Noise(index, 5)));
      series.y.push_back(std::pow(10.0, -6 - 0.4 * group + 0.3 * Noise(index, 6)));
    }
    chart.series.push_back(series);
  }
  return chart;
}

Table TensorTable() {
  Table table{.caption = "Tensors",
              .columns = {"tensor", "shape", "bytes", "largest difference", "class", "check"}};
  const std::vector<int64_t> sizes = {46885000, 589824, 589824, 2359296, 1536};
  const std::vector<std::string> names = {
      "embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.query.weight",
      "encoder.layer.0.attention.self.key.weight", "encoder.layer.0.intermediate.dense.weight",
      "encoder.layer.0.output.LayerNorm.weight"};
  for (size_t i = 0; i < names.size(); ++i) {
    table.rows.push_back(
        {names[i], "[" + std::to_string(384 * (i + 1)) + ", 768]",
         Cell::Shown(FormatBytes(static_cast<uint64_t>(sizes[i])), static_cast<double>(sizes[i])),
         Cell(3.1e-7 / static_cast<double>(i + 1), 3), i % 2 == 0 ? "A" : "B",
         i == 3 ? Verdict::kFail : Verdict::kPass});
  }
  table.rows.push_back({"</script><b>hostile</b> \"name\"", "[2]", "8 B", "\xE2\x80\x93", "A",
                        Verdict::kAsItCameOut});
  return table;
}

// A small picture made here: BMP, which every browser shows.
std::vector<std::byte> Picture() {
  constexpr int kWidth = 192, kHeight = 96;
  std::vector<std::byte> bytes(54 + kWidth * kHeight * 3);
  const auto put = [&](size_t at, uint32_t value, int size) {
    for (int i = 0; i < size; ++i) bytes[at + i] = static_cast<std::byte>(value >> (8 * i));
  };
  bytes[0] = std::byte{'B'};
  bytes[1] = std::byte{'M'};
  put(2, static_cast<uint32_t>(bytes.size()), 4);
  put(10, 54, 4);
  put(14, 40, 4);
  put(18, kWidth, 4);
  put(22, kHeight, 4);
  put(26, 1, 2);
  put(28, 24, 2);
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      const size_t at = 54 + static_cast<size_t>(y * kWidth + x) * 3;
      const double wave = 0.5 + 0.5 * std::sin(x / 11.0) * std::cos(y / 9.0);
      bytes[at] = static_cast<std::byte>(static_cast<int>(120 + 110 * wave));
      bytes[at + 1] = static_cast<std::byte>(static_cast<int>(80 + 120 * wave));
      bytes[at + 2] = static_cast<std::byte>(static_cast<int>(200 - 160 * wave));
    }
  }
  return bytes;
}

Report ExampleReport() {
  Report report("all-MiniLM-L6-v2 grown to twice its width and depth",
                "lemon-expand expand \xC2\xB7 example page, invented numbers");
  report.AddVerdict(Verdict::kPass, "Same function", "largest difference of an embedding 2.4e-07")
      .AddVerdict(Verdict::kFail, "Faster than passthrough",
                  "1.3 times its time; at most 1 was asked")
      .AddVerdict(Verdict::kAsItCameOut, "Saving against training from scratch",
                  "41 % of the steps, 95 % interval 36 to 47 %");
  report.AddFact("Parameters", "22.7 M \xE2\x86\x92 131 M")
      .AddFact("Hidden size", "384 \xE2\x86\x92 768")
      .AddFact("Layers", "6 \xE2\x86\x92 12")
      .AddFact("Output", "525 MB")
      .AddFact("Wall time", FormatDuration(6.1))
      .AddFact("Device", "cpu, 2 threads");
  report.AddSection("Training")
      .AddParagraph(
          "The grown model starts where its source stopped: the loss at step 0 is that of the "
          "source to "
          "within rounding. Models grown by stacking begin higher and catch up only in part.\n\n"
          "Every curve is the mean of three seeds with the same data order.")
      .AddChart(LossChart())
      .AddChart(GradientChart());
  report.AddSection("Speed").AddChart(SpeedChart()).AddChart(ShareChart());
  report.AddSection("Exactness").AddTable(TensorTable()).AddChart(SizeChart());
  report.AddPicture(Picture(), "image/bmp", "A field of blue and orange waves",
                    "Copy divergence over layers (rows) and steps (columns).");
  report.AddSection("Configuration")
      .AddRaw("config.toml",
              "[expand]\nhidden_size = 768\nlayers = 12\nmethod = \"lemon\"  # <default>\n");
  return report;
}

}  // namespace
}  // namespace orchard::run

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: example_page OUT.html\n");
    return 2;
  }
  orchard::WriteFileAtomically(argv[1], orchard::run::ExampleReport().Html());
}
