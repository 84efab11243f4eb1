// The report page of a run: one HTML file that works offline, in light and dark, on a phone and on
// paper.
//
//   Report report("Expansion of all-MiniLM-L6-v2", "lemon-expand expand");
//   report.AddVerdict(Verdict::kPass, "Same function", "largest difference 2.4e-7");
//   report.AddFact("Parameters", "22.7 M → 90.9 M");
//   report.AddSection("Tensors").AddTable(table).AddChart(chart);
//   run_dir.WriteReport(report);
//
// Whatever the texts hold, hostile markup included, is shown as text. Text is UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace orchard::run {

enum class Verdict {
  kPass,
  kFail,
  kAsItCameOut  // an outcome that was neither promised nor refuted
};

// One cell of a table. Numbers are aligned right and sort by value; text that starts with a number
// and a decimal unit ("1.2 GB", "340 ms") sorts by what it means, too.
struct Cell {
  Cell(std::string text);                                   // NOLINT: a cell is what is in it
  Cell(const char* text) : Cell(std::string(text)) {}       // NOLINT
  Cell(double number, int digits = 4);                      // NOLINT: `digits` significant digits
  Cell(int64_t number);                                     // NOLINT: in groups of three
  Cell(int number) : Cell(static_cast<int64_t>(number)) {}  // NOLINT
  Cell(Verdict verdict, std::string text = "");             // NOLINT: a badge
  // A number that is shown as `text`: Cell::Shown(FormatBytes(bytes), bytes).
  static Cell Shown(std::string text, double value);

  std::string text;
  std::optional<double> value;  // what it sorts by
  std::optional<Verdict> verdict;
};

struct Table {
  std::string caption;
  std::vector<std::string> columns;  // with their units: "time (ms)"
  std::vector<std::vector<Cell>> rows;
};

struct Axis {
  std::string title;  // "loss"
  std::string unit;   // "nat"; may be empty
  bool logarithmic = false;
};

// Points (x[i], y[i]); with `low` and `high` of the same length an error band (lines) or error
// bars. Values that are not finite leave a gap.
struct Series {
  std::string name;
  std::vector<double> x;  // empty for bars
  std::vector<double> y;
  std::vector<double> low, high;
};

struct Chart {
  enum class Kind { kLine, kBar, kScatter };
  Kind kind = Kind::kLine;
  std::string title;
  Axis x, y;
  std::vector<std::string> categories;  // of bars: one per value
  bool stacked = false;                 // bars: series on top of each other, parts of a whole
  std::vector<Series> series;
  std::string caption;
};

class Report {
 public:
  explicit Report(std::string title, std::string subtitle = "");
  ~Report();
  Report(Report&&) noexcept;
  Report& operator=(Report&&) noexcept;

  // At the top of the page, in the order they are added.
  Report& AddVerdict(Verdict verdict, std::string label, std::string detail = "");
  Report& AddFact(std::string label, std::string value);

  // The body, top to bottom.
  Report& AddSection(std::string title);
  Report& AddParagraph(std::string text);
  Report& AddTable(Table table);
  // Throws Error (internal) when lengths of a series disagree.
  Report& AddChart(Chart chart);
  // `bytes` of an encoded picture, e.g. "image/png", inlined; `alternative` says what is on it.
  Report& AddPicture(std::span<const std::byte> bytes, std::string mime, std::string alternative,
                     std::string caption = "");
  // Raw text (a configuration, a command) behind a title that opens it.
  Report& AddRaw(std::string title, std::string text);

  std::string Html() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::run
