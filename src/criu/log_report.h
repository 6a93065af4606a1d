// What criu's log says about a failure, in words for the operator.
#pragma once

#include <string>
#include <string_view>

namespace godwit::criu {

struct LogReport {
  std::string cause;       // what in the container is in the way and what to do about it; empty: not known
  std::string last_lines;  // criu's own last errors
  bool passing = false;    // a state that may be over in a moment: try again
};

// From the text of a log. The first error that is known wins: what follows is mostly its consequence.
LogReport report_log(std::string_view log);
// From a file; empty if it cannot be read.
LogReport report_log_file(const std::string& path);

}  // namespace godwit::criu
