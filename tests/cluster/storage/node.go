package storage

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// node serves a kubelet: the CSI identity and node services at one socket, and at another what the kubelet asks plugins
// that it finds.
type node struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedNodeServer
	registration.UnimplementedRegistrationServer
	volumes volumes
	name    string
	socket  string
}

func runNode(v volumes, name, kubelet string) error {
	n := &node{volumes: v, name: name, socket: filepath.Join(kubelet, "plugins", Driver, "csi.sock")}
	driver, registrar := grpc.NewServer(), grpc.NewServer()
	csi.RegisterIdentityServer(driver, n)
	csi.RegisterNodeServer(driver, n)
	registration.RegisterRegistrationServer(registrar, n)
	ended := make(chan error, 2)
	// The kubelet comes as soon as it sees the second.
	for _, server := range []struct {
		grpc   *grpc.Server
		socket string
	}{{driver, n.socket}, {registrar, filepath.Join(kubelet, "plugins_registry", Driver+"-reg.sock")}} {
		listener, err := listen(server.socket)
		if err != nil {
			return err
		}
		go func() { ended <- server.grpc.Serve(listener) }()
	}
	return <-ended
}

func listen(socket string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return net.Listen("unix", socket)
}

func (n *node) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: Driver, Endpoint: n.socket, SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (n *node) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !s.PluginRegistered {
		return nil, errors.New(s.Error)
	}
	return &registration.RegistrationStatusResponse{}, nil
}

func (n *node) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: Driver, VendorVersion: "1"}, nil
}

func (n *node) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{}, nil
}

func (n *node) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{}, nil
}

func (n *node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.name}, nil
}

func (n *node) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	stage := &csi.NodeServiceCapability{Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{
		Type: csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
	}}}
	return &csi.NodeGetCapabilitiesResponse{Capabilities: []*csi.NodeServiceCapability{stage}}, nil
}

func (n *node) NodeStageVolume(_ context.Context, r *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	if !validID(r.VolumeId) || !exists(n.volumes.data(r.VolumeId)) {
		return nil, status.Errorf(codes.NotFound, "no volume %q", r.VolumeId)
	}
	if !n.volumes.isAttached(r.VolumeId, n.name) {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is not attached to %s", r.VolumeId, n.name)
	}
	return &csi.NodeStageVolumeResponse{}, bind(n.volumes.data(r.VolumeId), r.StagingTargetPath, false)
}

func (n *node) NodeUnstageVolume(_ context.Context, r *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	return &csi.NodeUnstageVolumeResponse{}, unmount(r.StagingTargetPath)
}

func (n *node) NodePublishVolume(_ context.Context, r *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	return &csi.NodePublishVolumeResponse{}, bind(r.StagingTargetPath, r.TargetPath, r.Readonly)
}

func (n *node) NodeUnpublishVolume(_ context.Context, r *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := unmount(r.TargetPath); err != nil {
		return nil, err
	}
	if err := os.Remove(r.TargetPath); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// isMounted: the folder is on another file system, or another part of one, than the folder that it is in.
func isMounted(path string) bool {
	var here unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BASIC_STATS, &here) != nil {
		return false
	}
	return here.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// bind and unmount may be asked for again after they were done.
func bind(from, to string, readOnly bool) error {
	if err := os.MkdirAll(to, 0o755); err != nil || isMounted(to) {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil || !readOnly {
		return err
	}
	return unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

func unmount(path string) error {
	if !isMounted(path) {
		return nil
	}
	return unix.Unmount(path, 0)
}
