// The helper program that stands, on the machine, for a program in a place: `godwit-lab enter SOCKET DIRECTORY NUMBERS
// [NAME=VALUE...] -- COMMAND...`. It has the place start the program with its own descriptors, passes signals on and
// ends as the program ends; when it is killed, so is the program.
#pragma once

#include <signal.h>

#include <string>
#include <vector>

namespace godwit::lab {

inline constexpr int lost_place_status = 137;  // the place was killed, and the program with it

// Becomes SIGKILL for the program, while the helper waits for its end: a SIGKILL to the helper itself would not.
inline int pass_on_kill_signal() {
  return SIGRTMIN;
}

// Everything in front of the command. `numbers`: the descriptors, besides 0 to 2, that the program gets.
std::vector<std::string> enter_arguments(const std::string& program, const std::string& socket_path,
                                         const std::string& directory, const std::vector<int>& numbers,
                                         const std::vector<std::string>& environment);
int enter_main(const std::vector<std::string>& arguments);

}  // namespace godwit::lab
