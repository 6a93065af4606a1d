// godwit-runc: stands before runc on every node (src/runtime/wrapper.h).
#include "base/log.h"
#include "runtime/wrapper.h"

int main(int argc, char** argv) {
  using namespace godwit;
  set_log_name("godwit-runc");
  const std::vector<std::string> words(argv + 1, argv + argc);
  const runtime::Arguments arguments = runtime::parse_arguments(words);
  const auto outcome = runtime::intervene(arguments);
  if (!outcome) {
    runtime::report_error(arguments, outcome.error());
    return 1;
  }
  if (*outcome == runtime::Outcome::done) return 0;
  runtime::report_error(arguments, runtime::become_runc(words));
  return 127;
}
