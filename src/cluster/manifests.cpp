#include "cluster/manifests.h"

namespace godwit::cluster {

std::string manifests(const ClusterPlan& plan) {
  constexpr const char* runtime_class = R"(apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: live
handler: live
---
)";
  constexpr const char* storage = R"(apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata:
  name: storage.godwit.test
spec:
  attachRequired: true
  podInfoOnMount: false
  fsGroupPolicy: File
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: shared
provisioner: storage.godwit.test
parameters:
  shared: "true"
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: single
provisioner: storage.godwit.test
parameters:
  shared: "false"
)";
  return plan.live_runtime.empty() ? storage : std::string(runtime_class) + storage;
}

}  // namespace godwit::cluster
