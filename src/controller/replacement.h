// A StatefulSet's pod that moves keeps its name: its object is removed while its container runs on, held against its
// kubelet, and the StatefulSet makes a new one, which becomes the place where the container arrives.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "controller/agent_link.h"
#include "controller/arrivals.h"
#include "kube/client.h"

namespace godwit::controller {

struct RunContext;

// Of one Migration; used by its thread. All steps can be repeated.
class Replacement {
 public:
  // `source_node`, `containers`: where the pod's containers are held, and what their engine calls them.
  Replacement(const RunContext& context, std::string namespace_name, std::string pod, std::string source_node,
              std::vector<std::string> containers, std::stop_token stop);

  // Nothing that concerns the pod's object ends its containers from now on. Error: there is no such container, or its
  // agent does not answer.
  Result<> hold();
  // The pod of that name becomes the one that is expected: what is there by that name and is another one is removed.
  // Returns when it is there. Only while the container is held.
  Result<> make(const Arrival& arrival);
  // The container has moved: the pod of that name is a pod like any other, as soon as its Services have it.
  Result<> settle();
  // The container lives no more, or is not to: its kubelet may end it, and the StatefulSet begins anew.
  Result<> give_up();
  // The pod's object is the one that it was: its kubelet has it back.
  Result<> let_go();

 private:
  Result<> order(bool hold);
  Result<> forget();
  Result<> remove(const std::string& uid);
  [[nodiscard]] kube::Call call() const;
  [[nodiscard]] kube::ObjectPath path() const { return {kube::resources::pods, namespace_, pod_, ""}; }

  const RunContext& context_;
  std::string namespace_;
  std::string pod_;
  std::string source_node_;
  std::vector<std::string> containers_;
  std::stop_token stop_;
};

}  // namespace godwit::controller
