#include "install/sessions.h"

#include <algorithm>

#include "agent/pod_marks.h"
#include "agent/session_directory.h"
#include "os/file.h"

namespace godwit::install {

Result<size_t> sessions_under_way() {
  GODWIT_ASSIGN(const std::vector<agent::SessionDirectory> sessions, agent::SessionDirectory::all());
  auto count = static_cast<size_t>(
      std::ranges::count_if(sessions, [](const agent::SessionDirectory& session) { return !session.finished(); }));
  const auto marked = os::list_directory(agent::SessionDirectory::run_directory() + "/pods");
  for (const std::string& id : marked.value_or(std::vector<std::string>{})) {
    GODWIT_ASSIGN(const auto mark, agent::container_mark(id));
    if (mark && mark->state == agent::PodMark::State::moved) ++count;
  }
  return count;
}

}  // namespace godwit::install
