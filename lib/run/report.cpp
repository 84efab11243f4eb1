#include "run/report.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/number_format.h"
#include "run/html.h"
#include "run/quantity.h"
#include "run/report_chart.h"
#include "run/summary.h"

namespace orchard::run {

// Generated from page/page.css, page/page.js and Chart.js (CMakeLists.txt).
extern const std::string_view kPageCss;
extern const std::string_view kPageJs;
extern const std::string_view kChartJs;

namespace {

// Runs before the first paint, so that a dark page never flashes white.
constexpr std::string_view kThemeScript = R"js(
try { document.documentElement.dataset.theme = localStorage.getItem("orchard-theme") ||
  (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"); } catch {}
)js";

// An apple, as the page's icon.
constexpr std::string_view kIcon =
    "<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' "
    "viewBox='0 0 16 16'%3E%3Cpath fill='%231f6f50' d='M8 4c3-2 6 0 6 4s-3 7-4.5 7S8.6 14.5 8 "
    "14.5 7.5 15 6.5 15 2 12 2 8s3-6 6-4z'/%3E%3Cpath stroke='%231f6f50' stroke-width='1.5' "
    "fill='none' d='M8 4q0-2 2-3'/%3E%3C/svg%3E\">\n";

const char* VerdictClass(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "pass";
    case Verdict::kFail:
      return "fail";
    case Verdict::kAsItCameOut:
      break;
  }
  return "open";
}

const char* VerdictWord(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "Pass";
    case Verdict::kFail:
      return "Fail";
    case Verdict::kAsItCameOut:
      break;
  }
  return "As it came out";
}

// Colour is never the only sign: each verdict has a glyph and a word.
std::string Badge(Verdict verdict, const std::string& text) {
  static constexpr const char* kGlyphs[] = {"\xE2\x9C\x93", "\xE2\x9C\x95", "\xE2\x97\x8B"};
  return std::string("<span class=\"badge ") + VerdictClass(verdict) +
         "\"><span aria-hidden=\"true\">" + kGlyphs[static_cast<int>(verdict)] + "</span> " +
         EscapeHtml(text) + "</span>";
}

// Numbers stand right-aligned when all that is in the column is numbers.
bool IsNumeric(const Table& table, size_t column) {
  bool any = false;
  for (const auto& row : table.rows) {
    if (column >= row.size() || row[column].text.empty()) continue;
    const Cell& cell = row[column];
    const bool number = !cell.verdict && (cell.value || cell.text == "\xE2\x80\x93");
    if (!number) return false;
    any = any || cell.value.has_value();
  }
  return any;
}

std::string CellHtml(const Cell& cell, bool numeric, bool heads_row) {
  std::string attributes = numeric ? " class=\"n\"" : "";
  if (cell.value) attributes += " data-value=\"" + FormatShortest(*cell.value) + "\"";
  const std::string inner = cell.verdict ? Badge(*cell.verdict, cell.text) : EscapeHtml(cell.text);
  return heads_row ? "<th scope=\"row\"" + attributes + ">" + inner + "</th>"
                   : "<td" + attributes + ">" + inner + "</td>";
}

std::string TableHtml(const Table& table) {
  std::string html = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" +
                     EscapeHtml(table.caption.empty() ? "Table" : table.caption) + "\"><table>";
  if (!table.caption.empty()) html += "<caption>" + EscapeHtml(table.caption) + "</caption>";
  html += "<thead><tr>";
  std::vector<bool> numeric;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    numeric.push_back(IsNumeric(table, c));
    html += std::string("<th scope=\"col\" aria-sort=\"none\"") +
            (numeric[c] ? " class=\"n\"" : "") + "><button type=\"button\">" +
            EscapeHtml(table.columns[c]) + "</button></th>";
  }
  html += "</tr></thead><tbody>";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (size_t c = 0; c < row.size(); ++c) {
      html += CellHtml(row[c], c < numeric.size() && numeric[c], c == 0 && !row[c].verdict);
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div>";
}

std::string ChartHtml(const Chart& chart) {
  const std::string caption =
      chart.caption.empty() ? "" : "<p class=\"caption\">" + EscapeHtml(chart.caption) + "</p>";
  const std::string label = chart.title + ": " + AxisLabel(chart.y) + " by " + AxisLabel(chart.x) +
                            "; the values are in the table below";
  return "<figure class=\"chart\"><figcaption>" + EscapeHtml(chart.title) +
         "</figcaption><div class=\"plot\"><canvas role=\"img\" aria-label=\"" + EscapeHtml(label) +
         "\"></canvas><script type=\"application/json\">" + EscapeJsonForScript(ChartJson(chart)) +
         "</script></div>" + caption + "<details><summary>Values</summary>" +
         TableHtml(ChartTable(chart)) + "</details></figure>";
}

// Blank lines part paragraphs.
std::string ParagraphsHtml(const std::string& text) {
  std::string html;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find("\n\n", begin), text.size());
    html += "<p>" + EscapeHtml(std::string_view(text).substr(begin, end - begin)) + "</p>";
    begin = std::min(text.find_first_not_of('\n', end), text.size());
  }
  return html;
}

}  // namespace

Cell::Cell(std::string shown) : text(std::move(shown)), value(ParseQuantity(text)) {}

Cell::Cell(double number, int digits) : text(FormatSignificant(number, digits)) {
  if (!std::isnan(number)) value = number;
}

Cell::Cell(int64_t number) : text(FormatInteger(number)), value(static_cast<double>(number)) {}

Cell::Cell(Verdict v, std::string shown)
    : text(shown.empty() ? VerdictWord(v) : std::move(shown)), verdict(v) {
  value = static_cast<double>(v);  // sorts passes together
}

Cell Cell::Shown(std::string text, double value) {
  Cell cell("");
  cell.text = std::move(text);
  cell.value = value;
  return cell;
}

struct Report::State {
  std::string title, subtitle;
  std::string verdicts, facts;  // HTML
  std::string body;
  bool in_section = false;
};

Report::Report(std::string title, std::string subtitle) : state_(std::make_unique<State>()) {
  state_->title = std::move(title);
  state_->subtitle = std::move(subtitle);
}
Report::~Report() = default;
Report::Report(Report&&) noexcept = default;
Report& Report::operator=(Report&&) noexcept = default;

Report& Report::AddVerdict(Verdict verdict, std::string label, std::string detail) {
  state_->verdicts += std::string("<li class=\"") + VerdictClass(verdict) + "\">" +
                      Badge(verdict, VerdictWord(verdict)) + "<strong>" + EscapeHtml(label) +
                      "</strong>";
  if (!detail.empty()) state_->verdicts += "<span>" + EscapeHtml(detail) + "</span>";
  state_->verdicts += "</li>";
  return *this;
}

Report& Report::AddFact(std::string label, std::string value) {
  state_->facts +=
      "<div><dt>" + EscapeHtml(label) + "</dt><dd>" + EscapeHtml(value) + "</dd></div>";
  return *this;
}

Report& Report::AddSection(std::string title) {
  if (state_->in_section) state_->body += "</section>\n";
  state_->body += "<section><h2>" + EscapeHtml(title) + "</h2>";
  state_->in_section = true;
  return *this;
}

Report& Report::AddParagraph(std::string text) {
  state_->body += ParagraphsHtml(text);
  return *this;
}

Report& Report::AddTable(Table table) {
  state_->body += TableHtml(table);
  return *this;
}

Report& Report::AddChart(Chart chart) {
  CheckChart(chart);
  state_->body += ChartHtml(chart);
  return *this;
}

Report& Report::AddPicture(std::span<const std::byte> bytes, std::string mime,
                           std::string alternative, std::string caption) {
  state_->body += "<figure class=\"picture\"><img src=\"data:" + EscapeHtml(mime) + ";base64," +
                  Base64(bytes) + "\" alt=\"" + EscapeHtml(alternative) + "\">";
  if (!caption.empty()) state_->body += "<p class=\"caption\">" + EscapeHtml(caption) + "</p>";
  state_->body += "</figure>";
  return *this;
}

Report& Report::AddRaw(std::string title, std::string text) {
  state_->body += "<details class=\"raw\"><summary>" + EscapeHtml(title) +
                  "</summary><pre tabindex=\"0\"><code>" + EscapeHtml(text) +
                  "</code></pre></details>";
  return *this;
}

std::string Report::Html() const {
  const State& s = *state_;
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      // The page loads nothing from anywhere, and the browser holds it to that.
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action "
      "'none'\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
      EscapeHtml(s.title) + "</title>\n<style>\n";
  html += kPageCss;
  html += "</style>\n";
  html += kIcon;
  html += "<script>";
  html += kThemeScript;
  html += "</script>\n</head>\n<body>\n<header>\n<div class=\"bar\"><p class=\"program\">" +
          EscapeHtml(s.subtitle) +
          "</p><button type=\"button\" id=\"theme\" hidden>Theme</button></div>\n<h1>" +
          EscapeHtml(s.title) + "</h1>\n";
  if (!s.verdicts.empty()) html += "<ul class=\"verdicts\">" + s.verdicts + "</ul>\n";
  if (!s.facts.empty()) html += "<dl class=\"facts\">" + s.facts + "</dl>\n";
  html += "</header>\n<main>\n" + s.body + (s.in_section ? "</section>" : "") +
          "\n</main>\n<footer>Made by " + EscapeHtml(VersionLine()) + "</footer>\n";
  if (s.body.find("<canvas") != std::string::npos) {
    html += "<script>\n";
    html += kChartJs;
    html += "\n</script>\n";
  }
  html += "<script>\n";
  html += kPageJs;
  return html + "</script>\n</body>\n</html>\n";
}

}  // namespace orchard::run
