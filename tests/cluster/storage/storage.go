// Package storage is a CSI driver for test clusters: its volumes are folders of one folder that all nodes see, as they
// would see network storage. A volume is for many nodes at a time ("shared") or for one ("single"); what makes it so is
// kept with the volume, as a storage system does, so that a node that should not have it cannot mount it, whatever
// Kubernetes believes.
//
//	storage-driver controller ROOT KUBECONFIG      makes, attaches, detaches and deletes volumes
//	storage-driver node ROOT NODE KUBELET-FOLDER   mounts them on a node, for its kubelet
package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// Driver is the name of the CSI driver, and so of the storage classes' provisioner.
const Driver = "storage.godwit.test"

// Parameter of a storage class and attribute of its volumes: "true" for many nodes at a time.
const sharedAttribute = "shared"

// volumes is the storage system: ROOT/volumes/ID are the data, ROOT/attached/ID/NODE says that a node may use them.
type volumes struct{ root string }

func (v volumes) data(id string) string           { return filepath.Join(v.root, "volumes", id) }
func (v volumes) attachments(id string) string    { return filepath.Join(v.root, "attached", id) }
func (v volumes) attachment(id, n string) string  { return filepath.Join(v.attachments(id), n) }
func (v volumes) isAttached(id, node string) bool { return exists(v.attachment(id, node)) }

func (v volumes) create(id string) error {
	return errors.Join(os.MkdirAll(v.data(id), 0o777), os.Chmod(v.data(id), 0o777), os.MkdirAll(v.attachments(id), 0o755))
}

func (v volumes) remove(id string) error {
	return errors.Join(os.RemoveAll(v.data(id)), os.RemoveAll(v.attachments(id)))
}

// attach refuses a second node for a volume that is for one.
func (v volumes) attach(id, node string, shared bool) error {
	holders, err := os.ReadDir(v.attachments(id))
	if err != nil {
		return fmt.Errorf("no such volume: %w", err)
	}
	for _, holder := range holders {
		if holder.Name() != node && !shared {
			return fmt.Errorf("volume %s is attached to %s, and only one node may hold it at a time", id, holder.Name())
		}
	}
	return os.WriteFile(v.attachment(id, node), nil, 0o644)
}

func (v volumes) detach(id, node string) error {
	if err := os.Remove(v.attachment(id, node)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// An id is a file name here, whoever made it up.
func validID(id string) bool {
	return id != "" && id != "." && id != ".." && !strings.ContainsAny(id, "/\x00")
}

// NewCommand is the program.
func NewCommand() *cobra.Command {
	root := &cobra.Command{Use: "storage-driver", SilenceUsage: true}
	root.AddCommand(
		&cobra.Command{
			Use:  "controller ROOT KUBECONFIG",
			Args: cobra.ExactArgs(2),
			RunE: func(command *cobra.Command, args []string) error {
				return runController(command.Context(), volumes{args[0]}, args[1])
			},
		},
		&cobra.Command{
			Use:  "node ROOT NODE KUBELET-FOLDER",
			Args: cobra.ExactArgs(3),
			RunE: func(_ *cobra.Command, args []string) error { return runNode(volumes{args[0]}, args[1], args[2]) },
		})
	return root
}
