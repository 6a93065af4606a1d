// One request to an agent over its unix socket, and the events that answer it.
#pragma once

#include <optional>
#include <string>

#include "agent/events.h"
#include "agent/requests.h"
#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::cli {

// Owned by one verb, used by one thread. Each connection carries one request.
class AgentClient {
 public:
  // Errors tell apart an agent that is not there, one that has died and one that may not be asked.
  static Result<AgentClient> connect(const std::string& socket_path);

  Result<> send(const agent::Request& request, Deadline deadline);
  // The next event; nullopt if the deadline passes first. Errors: the agent closed the connection, or sent what is
  // not an event.
  Result<std::optional<agent::Event>> next(Deadline deadline);
  [[nodiscard]] int fd() const { return fd_.get(); }  // readable when next() may have something

 private:
  explicit AgentClient(UniqueFd fd) : fd_(std::move(fd)) {}
  // The first line of what has been received, without its newline.
  std::optional<std::string> take_line();

  UniqueFd fd_;
  std::string received_;
  size_t searched_ = 0;  // bytes of received_ that hold no newline
};

// Sends `request` and hands each event to `on_event`, until the result, which is returned. The deadline is for all.
template <typename OnEvent>
Result<agent::ResultEvent> ask_agent(const std::string& socket_path, const agent::Request& request, Deadline deadline,
                                     OnEvent on_event) {
  GODWIT_ASSIGN(AgentClient client, AgentClient::connect(socket_path));
  GODWIT_TRY(client.send(request, deadline));
  for (;;) {
    GODWIT_ASSIGN(const std::optional<agent::Event> event, client.next(deadline));
    if (!event) return fail("the agent did not answer in time");
    on_event(*event);
    if (const auto* result = std::get_if<agent::ResultEvent>(&*event)) return *result;
  }
}

}  // namespace godwit::cli
