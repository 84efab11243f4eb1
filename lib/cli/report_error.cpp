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

// LibTorch's out-of-memory error (c10::OutOfMemoryError) by name: this library does not know its
// type.
bool IsTensorMemory(const std::exception& exception) {
  return std::string_view(typeid(exception).name()).find("OutOfMemoryError") !=
         std::string_view::npos;
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
    return {FirstLine(error.what()),
            IsTensorMemory(error) ? ExitCode::kResource : ExitCode::kInternal};
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
