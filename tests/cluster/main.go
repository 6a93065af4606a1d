// Command kubernetes is the components of Kubernetes as one program, for the clusters that the tests run on: they share
// most of their code, so together they take a quarter of the time to build and of the space. The name it is called by,
// or its first argument, says which one it is: `ln -s kubernetes kubelet; ./kubelet --version` or `kubernetes kubelet
// --version`.
//
// With them comes the driver of the clusters' volumes (storage/). This is the only Go in the project. Which Kubernetes it is stands in go.mod (the current minor version) and older.mod
// (an older one that is still supported); tools/kubernetes.sh builds it.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // for time zones in CronJobs

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of the API client
	_ "k8s.io/component-base/metrics/prometheus/version"  // kubernetes_build_info
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"godwit/tests/cluster/storage"
)

// Made only when it is the one that is asked for: the components' flags would collide.
func command(name string) *cobra.Command {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "kube-proxy":
		return proxy.NewProxyCommand()
	case "storage-driver":
		return storage.NewCommand()
	}
	return nil
}

func main() {
	chosen := command(filepath.Base(os.Args[0]))
	if chosen == nil && len(os.Args) > 1 {
		if chosen = command(os.Args[1]); chosen != nil {
			os.Args = os.Args[1:]
		}
	}
	if chosen == nil {
		fmt.Fprintln(os.Stderr, "usage: kubernetes kube-apiserver|kube-controller-manager|kube-scheduler|kubelet|kube-proxy|storage-driver [ARGUMENT...]")
		os.Exit(2)
	}
	os.Exit(cli.Run(chosen))
}
