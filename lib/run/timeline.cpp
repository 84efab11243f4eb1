#include "run/timeline.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace orchard::run {
namespace {

std::string Quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string TraceMicroseconds(int64_t nanoseconds) {
  if (nanoseconds % 1000 == 0) return fmt::format("{}", nanoseconds / 1000);
  double us = static_cast<double>(nanoseconds) / 1000;
  while (static_cast<int64_t>(us * 1000) < nanoseconds)
    us = std::nextafter(us, std::numeric_limits<double>::infinity());
  return fmt::format("{}", us);
}

void Timeline::Begin(std::string_view phase, int process, int thread) {
  if (!text_.empty()) text_ += ",\n";
  text_ += fmt::format(R"({{"ph":"{}","pid":{})", phase, process);
  if (thread > 0) text_ += fmt::format(R"(,"tid":{})", thread);
}

int Timeline::AddProcess(std::string_view name) {
  Begin("M", ++processes_, 0);
  text_ += fmt::format(R"(,"name":"process_name","args":{{"name":{}}}}})", Quoted(name));
  return processes_;
}

int Timeline::AddThread(int process, std::string_view name) {
  const int thread = static_cast<int>(process_of_.size());
  process_of_.push_back(process);
  Begin("M", process, thread);
  text_ += fmt::format(R"(,"name":"thread_name","args":{{"name":{}}}}})", Quoted(name));
  return thread;
}

void Timeline::Slice(int thread, std::string_view name, Span span, std::string_view category,
                     std::string_view args) {
  Begin("X", process_of_[thread], thread);
  text_ += fmt::format(R"(,"name":{},"ts":{},"dur":{})", Quoted(name),
                       TraceMicroseconds(span.begin), TraceMicroseconds(span.end - span.begin));
  if (!category.empty()) text_ += fmt::format(R"(,"cat":{})", Quoted(category));
  if (!args.empty()) text_ += fmt::format(R"(,"args":{})", args);
  text_ += '}';
}

void Timeline::Arrow(int from_thread, Span from, int to_thread, Span to) {
  if (from.begin == from.end || to.begin == to.end) return;
  Begin("s", process_of_[from_thread], from_thread);
  text_ += fmt::format(R"(,"name":"copy","cat":"copy","id":{},"ts":{}}})", ++arrows_,
                       TraceMicroseconds(from.begin));
  Begin("f", process_of_[to_thread], to_thread);
  text_ += fmt::format(R"(,"bp":"e","name":"copy","cat":"copy","id":{},"ts":{}}})", arrows_,
                       TraceMicroseconds(to.begin + (to.end - to.begin) / 2));
}

void Timeline::Counter(int process, std::string_view name, std::string_view key, int64_t time,
                       int64_t value) {
  Begin("C", process, 0);
  text_ += fmt::format(R"(,"name":{},"ts":{},"args":{{{}:{}}}}})", Quoted(name),
                       TraceMicroseconds(time), Quoted(key), value);
}

std::string Timeline::Text() const {
  return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" + text_ + "\n]}\n";
}

TimelineRows::TimelineRows(Timeline& timeline, int process, std::string name)
    : timeline_(timeline), process_(process), name_(std::move(name)) {
  AddRow();
}

void TimelineRows::AddRow() {
  const size_t number = rows_.size() + 1;
  const std::string name = number == 1 ? name_ : fmt::format("{} {}", name_, number);
  rows_.push_back({timeline_.AddThread(process_, name), 0});
}

int TimelineRows::Take(Timeline::Span span) {
  size_t row = 0;
  while (row < rows_.size() && rows_[row].free_from > span.begin) ++row;
  if (row == rows_.size()) AddRow();
  rows_[row].free_from = span.end;
  return rows_[row].thread;
}

}  // namespace orchard::run
