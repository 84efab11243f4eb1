#include "base/logging.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>

namespace orchard {
namespace {

constexpr char kClearLine[] = "\r\033[K";

struct Logger {
  std::mutex mutex;
  std::atomic<LogLevel> level = LogLevel::kInfo;
  std::string prefix;
  std::string status;
};

Logger& TheLogger() {
  static auto* logger = new Logger;  // never destroyed: threads may log while the process ends
  return *logger;
}

void WriteAll(const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = write(STDERR_FILENO, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // nobody reads stderr: there is no place left to say so
    done += static_cast<size_t>(count);
  }
}

// One write for everything, so that lines of several processes do not mix.
void WriteLine(Logger& logger, const std::string& line) {
  if (logger.status.empty()) return WriteAll(line + "\n");
  WriteAll(kClearLine + line + "\n" + logger.status);
}

void Log(LogLevel level, const char* label, std::string_view message) {
  Logger& logger = TheLogger();
  if (level > logger.level) return;
  std::lock_guard lock(logger.mutex);
  std::string line = logger.prefix.empty() ? "" : logger.prefix + ": ";
  line += label;
  for (char c : message) line += c == '\n' || c == '\r' ? ' ' : c;
  WriteLine(logger, line);
}

}  // namespace

void SetLogLevel(LogLevel level) { TheLogger().level = level; }
LogLevel GetLogLevel() { return TheLogger().level; }

void SetLogPrefix(std::string prefix) {
  Logger& logger = TheLogger();
  std::lock_guard lock(logger.mutex);
  logger.prefix = std::move(prefix);
}

void LogError(std::string_view message) { Log(LogLevel::kError, "", message); }
void LogWarning(std::string_view message) { Log(LogLevel::kWarning, "warning: ", message); }
void LogInfo(std::string_view message) { Log(LogLevel::kInfo, "", message); }
void LogDebug(std::string_view message) { Log(LogLevel::kDebug, "debug: ", message); }

void PrintToStderr(std::string_view line) {
  Logger& logger = TheLogger();
  std::lock_guard lock(logger.mutex);
  WriteLine(logger, std::string(line));
}

void ShowStatusLine(std::string_view text) {
  Logger& logger = TheLogger();
  std::lock_guard lock(logger.mutex);
  if (text.empty() && logger.status.empty()) return;
  logger.status = text;
  WriteAll(kClearLine + logger.status);
}

}  // namespace orchard
