// What the runtime wrapper of a node must know about containers and pods beyond what runc knows, as files in
// /run/godwit/pods/<id>, so that it holds whether an agent lives or not.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"

namespace godwit::agent {

struct PodMark {
  enum class State : uint8_t {
    restored,  // a container that was running when runc had made it: there is nothing to start
    held,      // a container whose pod is being deleted, and which is about to move: ending it is without effect
    awaited,   // a container that its engine believes to run, and that has yet to arrive (pid_keeper.h)
    moved,     // a container, or a pod's sandbox, that lives on another node now: what is here is frozen and only to be
               // ended, and nothing may be started in it
  };
  State state = State::restored;
  std::string to;                 // of a moved one: the node
  pid_t init_pid = 0;             // of a container that moved or is held
  std::string freezer_directory;  // of a moved container
  pid_t keeper_pid = 0;           // of one that is awaited
};

// `id`: what the container engine calls the container or the sandbox.
Result<> mark_container(const std::string& id, const PodMark& mark);
Result<std::optional<PodMark>> container_mark(const std::string& id);
Result<> remove_container_mark(const std::string& id);

// That somebody wanted to end a held container; forgotten with its mark. Whoever notes it looks at the mark again: it
// may have become another one meanwhile.
Result<> note_end_wanted(const std::string& id);
Result<bool> end_wanted(const std::string& id);

// Of a moved container: ends the frozen copy without running an instruction of it. False: it has ended.
Result<bool> end_moved_copy(const PodMark& mark);

}  // namespace godwit::agent
