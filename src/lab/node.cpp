#include <fcntl.h>
#include <signal.h>

#include "lab/enter.h"
#include "lab/lab.h"
#include "lab/layout.h"
#include "os/file.h"

namespace godwit::lab {

std::string Node::name() const {
  return place_name(index_);
}

std::string Node::address() const {
  return place_address(index_);
}

os::Command Node::command(const std::vector<std::string>& argv, const RunOptions& options) const {
  os::Command command;
  std::vector<int> numbers;
  for (const auto& [ours, theirs] : options.descriptors) {
    if (theirs > 2) numbers.push_back(theirs);
  }
  command.argv = enter_arguments(program_, place_socket(lab_, index_), options.directory, numbers, options.environment);
  command.argv.insert(command.argv.end(), argv.begin(), argv.end());
  command.descriptors = options.descriptors;
  command.die_with_parent = options.die_with_parent;
  return command;
}

Result<os::Output> Node::exec(const std::vector<std::string>& argv, Deadline deadline,
                              const RunOptions& options) const {
  return os::run(command(argv, options), deadline);
}

Result<std::string> Node::exec_checked(const std::vector<std::string>& argv, Deadline deadline,
                                       const RunOptions& options) const {
  GODWIT_ASSIGN(os::Output output, exec(argv, deadline, options));
  if (output.status != 0) {
    constexpr size_t shown_bytes = 1000;
    const size_t start = output.text.size() > shown_bytes ? output.text.size() - shown_bytes : 0;
    return fail("{}: {} ended with status {}: {}", name(), argv[0], output.status, output.text.substr(start));
  }
  return std::move(output.text);
}

Result<os::Subprocess> Node::spawn(const std::vector<std::string>& argv, const RunOptions& options) const {
  os::Command to_start = command(argv, options);
  UniqueFd log;
  if (!options.log_path.empty()) {
    GODWIT_ASSIGN(log, os::open_file(options.log_path, O_WRONLY | O_CREAT | O_APPEND, 0644));
    to_start.descriptors.emplace_back(log.get(), 1);
    to_start.descriptors.emplace_back(log.get(), 2);
  }
  return os::Subprocess::start(to_start);
}

Result<int> kill_program(os::Subprocess& program, Deadline deadline) {
  if (::kill(program.pid(), pass_on_kill_signal()) != 0) return fail_errno("kill a program");
  return program.wait(deadline);
}

}  // namespace godwit::lab
