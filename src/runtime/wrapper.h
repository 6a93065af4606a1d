// godwit-runc: what the container engine of a node calls instead of runc.
//
// Everything is runc's to do, but for containers that take part in a migration:
//   create  of a container whose pod carries `cast.ai/restore`: restored instead, when its session says so
//           in a pod that has moved away: refused
//           of a pod with several containers: created for its engine before it arrives
//   start   of a container that was restored, or is to be: it runs already
//   kill    of one that has yet to arrive: it ends for its engine, and stays where it was
//   kill    of a container that has moved away: its frozen copy is ended, without running an instruction
//           of one that is held, because its pod's object goes before it moves: noted, and without effect
//   exec    in these three: refused
//   delete  forgets what was noted of the container or sandbox
// It needs no living agent, but for a restore.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/arguments.h"

namespace godwit::runtime {

enum class Outcome : uint8_t {
  pass_on,  // runc shall do it
  done,     // nothing is left to do
};

// May not return: a restored container's `create` ends as `runc restore`.
Result<Outcome> intervene(const Arguments& arguments);
// Where the caller looks for it.
void report_error(const Arguments& arguments, const Error& error);
// Replaces this process by runc; the error says why it could not.
Error become_runc(const std::vector<std::string>& words);

}  // namespace godwit::runtime
