// runc's command line, as far as godwit-runc must understand it.
#pragma once

#include <string>
#include <vector>

namespace godwit::runtime {

struct Arguments {
  std::string command;  // "create", "start", ...; empty: none was found
  std::string id;       // the container; empty: none was given
  std::string root = "/run/runc";
  std::string bundle = ".";
  std::string pid_file;
  std::string log;  // where the caller looks for the reason of a failure; empty: nowhere
  bool log_is_json = false;
};

// Without the program's name. Options that are not known are passed over.
Arguments parse_arguments(const std::vector<std::string>& words);

}  // namespace godwit::runtime
