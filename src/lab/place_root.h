// The file system of a place: the image with a writable layer in memory, and what a machine has at /proc, /sys, /dev,
// /run. Every mount is made in the caller's own mount namespace and vanishes with it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "lab/certificates.h"
#include "lab/cgroups.h"
#include "lab/state.h"

namespace godwit::lab {

struct PlaceIdentity {
  int index = 0;  // see layout.h
  std::string authority_pem;
  NodeCertificate certificate;
};

Result<> write_identity_file(const std::string& lab, const PlaceIdentity& identity);
Result<PlaceIdentity> read_identity_file(const std::string& lab, int index);

// Makes the disk of a node, at disk_directory(): memory, of at most plan.data_limit_bytes.
Result<> mount_disk(const LabPlan& plan, int index);

// Builds it and makes it the root of the calling process, which must already be in its own mount, pid, network and
// cgroup namespaces; the machine's own file systems are gone from view afterwards.
Result<> enter_place_root(const LabPlan& plan, const PlaceIdentity& identity,
                          const std::vector<Hierarchy>& hierarchies);

}  // namespace godwit::lab
