#include "cli/report_error.h"

#include <cerrno>
#include <new>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <typeinfo>

namespace orchard::cli {
namespace {

std::string FirstLine(std::string_view text) {
  while (text.starts_with('\n')) text.remove_prefix(1);
  return std::string(text.substr(0, text.find('\n')));
}

bool IsResource(const std::error_code& code) {
  for (const std::errc kind :
       {std::errc::no_space_on_device, std::errc::not_enough_memory, std::errc::too_many_files_open,
        std::errc::too_many_files_open_in_system, std::errc::file_too_large}) {
    if (code == kind) return true;
  }
  return code == std::error_code(EDQUOT, std::generic_category());
}

// LibTorch's errors for want of memory: on a GPU by the type's name (c10::OutOfMemoryError), which
// this library does not know; on the CPU an error of any kind by what its allocator says.
bool IsTensorMemory(const std::exception& exception) {
  const auto has = [](std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
  };
  return has(typeid(exception).name(), "OutOfMemoryError") ||
         has(exception.what(), "DefaultCPUAllocator: can't allocate memory");
}

// "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you
// tried to allocate 400 bytes. Error code 12 (Cannot allocate memory)"
std::string TensorMemoryText(std::string_view text) {
  const size_t begin = text.find("DefaultCPUAllocator: can't");
  if (begin == std::string_view::npos) return FirstLine(text);
  const size_t tried = text.find("you tried", begin);
  if (tried == std::string_view::npos) return "out of memory";
  return "out of memory: " + FirstLine(text.substr(tried));
}

}  // namespace

Failure Describe(std::exception_ptr exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    return {error.what(), error.code()};
  } catch (const std::bad_alloc&) {
    return {"out of memory", ExitCode::kResource};
  } catch (const std::system_error& error) {
    return {FirstLine(error.what()),
            IsResource(error.code()) ? ExitCode::kResource : ExitCode::kInternal};
  } catch (const std::exception& error) {
    if (IsTensorMemory(error)) return {TensorMemoryText(error.what()), ExitCode::kResource};
    return {FirstLine(error.what()), ExitCode::kInternal};
  } catch (...) {
    return {"an exception of unknown type", ExitCode::kInternal};
  }
}

std::string FailureJson(const Failure& failure) {
  // A file name in the message may be anything but UTF-8.
  return nlohmann::json{{"error", failure.message}, {"exit_code", static_cast<int>(failure.code)}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace orchard::cli
