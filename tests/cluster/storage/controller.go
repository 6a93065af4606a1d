package storage

import (
	"context"
	"errors"
	"slices"
	"time"

	core "k8s.io/api/core/v1"
	storageapi "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// An attachment stays until this is taken off, after the volume was detached.
const finalizer = "external-attacher/storage-godwit-test"

const retryAfter = 2 * time.Second

// controller does what CSI's external-provisioner and external-attacher do together, for this one driver: it makes the
// volume that a claim asks for and deletes it when it is released, and it carries out VolumeAttachments. There is little to
// do, so any event makes it look at everything.
type controller struct {
	volumes     volumes
	client      kubernetes.Interface
	claims      corelisters.PersistentVolumeClaimLister
	persistent  corelisters.PersistentVolumeLister
	classes     storagelisters.StorageClassLister
	attachments storagelisters.VolumeAttachmentLister
}

func runController(ctx context.Context, v volumes, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	c := controller{
		volumes:     v,
		client:      client,
		claims:      factory.Core().V1().PersistentVolumeClaims().Lister(),
		persistent:  factory.Core().V1().PersistentVolumes().Lister(),
		classes:     factory.Storage().V1().StorageClasses().Lister(),
		attachments: factory.Storage().V1().VolumeAttachments().Lister(),
	}
	happened := make(chan struct{}, 1)
	note := func() {
		select {
		case happened <- struct{}{}:
		default: // noted already
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { note() }, UpdateFunc: func(any, any) { note() }, DeleteFunc: func(any) { note() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(), factory.Core().V1().PersistentVolumes().Informer(),
		factory.Storage().V1().StorageClasses().Informer(), factory.Storage().V1().VolumeAttachments().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for {
		if err := c.reconcile(ctx); err != nil {
			klog.ErrorS(err, "Will be tried again")
			time.AfterFunc(retryAfter, note)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-happened:
		}
	}
}

func (c *controller) reconcile(ctx context.Context) error {
	var problems []error
	claims, err := c.claims.List(labels.Everything())
	problems = append(problems, err)
	for _, claim := range claims {
		problems = append(problems, c.provision(ctx, claim))
	}
	attachments, err := c.attachments.List(labels.Everything())
	problems = append(problems, err)
	for _, attachment := range attachments {
		// Detach first, so that a volume that goes from one node to another need not wait for the next round.
		if attachment.Spec.Attacher == Driver && attachment.DeletionTimestamp != nil {
			problems = append(problems, c.detach(ctx, attachment))
		}
	}
	for _, attachment := range attachments {
		if attachment.Spec.Attacher == Driver && attachment.DeletionTimestamp == nil && !attachment.Status.Attached {
			problems = append(problems, c.attach(ctx, attachment))
		}
	}
	persistent, err := c.persistent.List(labels.Everything())
	problems = append(problems, err)
	for _, volume := range persistent {
		problems = append(problems, c.deleteReleased(ctx, volume, attachments))
	}
	return errors.Join(problems...)
}

func (c *controller) provision(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	if claim.Status.Phase != core.ClaimPending || claim.Spec.VolumeName != "" || claim.Spec.StorageClassName == nil ||
		claim.DeletionTimestamp != nil {
		return nil
	}
	class, err := c.classes.Get(*claim.Spec.StorageClassName)
	if apierrors.IsNotFound(err) || (err == nil && class.Provisioner != Driver) {
		return nil
	}
	if err != nil {
		return err
	}
	id := "pvc-" + string(claim.UID)
	if err := c.volumes.create(id); err != nil {
		return err
	}
	_, err = c.client.CoreV1().PersistentVolumes().Create(ctx, newVolume(id, claim, class), meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func newVolume(id string, claim *core.PersistentVolumeClaim, class *storageapi.StorageClass) *core.PersistentVolume {
	reclaim := core.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		reclaim = *class.ReclaimPolicy
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{
			Name: id, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": Driver},
		},
		Spec: core.PersistentVolumeSpec{
			AccessModes: claim.Spec.AccessModes,
			Capacity:    core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			ClaimRef: &core.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeReclaimPolicy: reclaim,
			StorageClassName:              class.Name,
			PersistentVolumeSource: core.PersistentVolumeSource{CSI: &core.CSIPersistentVolumeSource{
				Driver: Driver, VolumeHandle: id,
				VolumeAttributes: map[string]string{sharedAttribute: class.Parameters[sharedAttribute]},
			}},
		},
	}
}

// source is what an attachment attaches.
func (c *controller) source(attachment *storageapi.VolumeAttachment) (*core.CSIPersistentVolumeSource, error) {
	if attachment.Spec.Source.PersistentVolumeName == nil {
		return nil, errors.New("attachments without a PersistentVolume are not supported")
	}
	volume, err := c.persistent.Get(*attachment.Spec.Source.PersistentVolumeName)
	if err != nil {
		return nil, err
	}
	if volume.Spec.CSI == nil || !validID(volume.Spec.CSI.VolumeHandle) {
		return nil, errors.New("not a volume of this driver")
	}
	return volume.Spec.CSI, nil
}

func (c *controller) attach(ctx context.Context, attachment *storageapi.VolumeAttachment) error {
	client := c.client.StorageV1().VolumeAttachments()
	if !slices.Contains(attachment.Finalizers, finalizer) {
		attachment = attachment.DeepCopy()
		attachment.Finalizers = append(attachment.Finalizers, finalizer)
		var err error
		if attachment, err = client.Update(ctx, attachment, meta.UpdateOptions{}); err != nil {
			return err
		}
	}
	source, failure := c.source(attachment)
	if failure == nil {
		shared := source.VolumeAttributes[sharedAttribute] == "true"
		failure = c.volumes.attach(source.VolumeHandle, attachment.Spec.NodeName, shared)
	}
	if failure != nil && attachment.Status.AttachError != nil && attachment.Status.AttachError.Message == failure.Error() {
		return failure // known, and to say it again would be an event
	}
	attachment = attachment.DeepCopy()
	attachment.Status.Attached = failure == nil
	attachment.Status.AttachError = nil
	if failure != nil {
		attachment.Status.AttachError = &storageapi.VolumeError{Time: meta.Now(), Message: failure.Error()}
	}
	klog.InfoS("Attach", "volume", *attachment.Spec.Source.PersistentVolumeName, "node", attachment.Spec.NodeName, "err", failure)
	_, err := client.UpdateStatus(ctx, attachment, meta.UpdateOptions{})
	return errors.Join(failure, err)
}

func (c *controller) detach(ctx context.Context, attachment *storageapi.VolumeAttachment) error {
	at := slices.Index(attachment.Finalizers, finalizer)
	if at < 0 {
		return nil
	}
	source, err := c.source(attachment)
	if err == nil {
		err = c.volumes.detach(source.VolumeHandle, attachment.Spec.NodeName)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	klog.InfoS("Detach", "volume", *attachment.Spec.Source.PersistentVolumeName, "node", attachment.Spec.NodeName)
	attachment = attachment.DeepCopy()
	attachment.Finalizers = slices.Delete(attachment.Finalizers, at, at+1)
	_, err = c.client.StorageV1().VolumeAttachments().Update(ctx, attachment, meta.UpdateOptions{})
	return err
}

func (c *controller) deleteReleased(ctx context.Context, volume *core.PersistentVolume, attachments []*storageapi.VolumeAttachment) error {
	if volume.Spec.CSI == nil || volume.Spec.CSI.Driver != Driver || volume.Status.Phase != core.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete || volume.DeletionTimestamp != nil {
		return nil
	}
	for _, attachment := range attachments {
		if name := attachment.Spec.Source.PersistentVolumeName; name != nil && *name == volume.Name {
			return nil // its end is an event, too
		}
	}
	if err := c.volumes.remove(volume.Spec.CSI.VolumeHandle); err != nil {
		return err
	}
	return c.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
}
