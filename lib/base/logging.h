// The logger: lines on stderr, and one transient status line (progress) below them. The only global
// state of the toolkit; safe to use from any thread.
#pragma once

#include <string>
#include <string_view>

namespace orchard {

enum class LogLevel { kError, kWarning, kInfo, kDebug };

// Lines above this level are dropped: --quiet is kError, --verbose is kDebug.
void SetLogLevel(LogLevel level);
LogLevel GetLogLevel();

// What stands before each line: "lemon-expand", or "lemon-expand[rank 1]".
void SetLogPrefix(std::string prefix);

// Write `prefix: message` (`prefix: warning: message`) in one piece. Line breaks inside become
// spaces.
void LogError(std::string_view message);
void LogWarning(std::string_view message);
void LogInfo(std::string_view message);
void LogDebug(std::string_view message);

// Writes a line to stderr as it is, at any level, clearing the status line first and drawing it
// again below.
void PrintToStderr(std::string_view line);

// Shows `text` as the status line in place of the one before; empty text removes it. For a terminal
// only: the caller has checked that stderr is one.
void ShowStatusLine(std::string_view text);

}  // namespace orchard
