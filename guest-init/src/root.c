/* Mount points lie in the initrd's file system, which stays the machine's own root: what the kernel starts by
   itself (/sbin/poweroff, /sbin/modprobe) is looked up there and never in the image. */
#include "root.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device-wait.h"

#define IMAGE "/image"
#define LAYERS "/layers" /* a file system in memory with the overlay's upper and work folders */
#define ROOT "/root"
#define STEP "mount-root"
#define DEVICE_TIMEOUT_MS 30000

static bool make_folder(const char *path, struct failure *failure) {
  if (mkdir(path, 0755) == 0 || errno == EEXIST) return true;
  return fail(failure, STEP, errno, "cannot make %s", path);
}

static bool mount_image(const struct bundle *bundle, struct failure *failure) {
  const char *device = bundle->root.device, *type = bundle->root.filesystem;
  if (mount(device, IMAGE, type, MS_RDONLY, NULL) == 0) return true;
  int error = errno;
  if (error == ENODEV) return fail(failure, STEP, error, "the kernel has no %s for %s", type, device);
  return fail(failure, STEP, error, "cannot mount %s as %s", device, type);
}

/* A read-only root gets its layer in memory too: guest-init makes mount points and writes /etc/hosts there, then
   closes it. */
static bool mount_layers(const struct bundle *bundle, struct failure *failure) {
  char options[64] = "mode=0755";
  if (bundle->root.upper_size_bytes > 0)
    snprintf(options, sizeof options, "mode=0755,size=%llu", (unsigned long long)bundle->root.upper_size_bytes);
  if (mount("tmpfs", LAYERS, "tmpfs", 0, options) < 0)
    return fail(failure, STEP, errno, "cannot mount a file system in memory");
  return make_folder(LAYERS "/upper", failure) && make_folder(LAYERS "/work", failure);
}

/* The root directory of an overlay has the upper folder's owner and mode: give it the image's. */
static bool copy_root_attributes(struct failure *failure) {
  struct stat image;
  if (stat(IMAGE, &image) == 0 && chown(LAYERS "/upper", image.st_uid, image.st_gid) == 0 &&
      chmod(LAYERS "/upper", image.st_mode & 07777) == 0)
    return true;
  return fail(failure, STEP, errno, "cannot copy the attributes of the image's root folder");
}

bool root_mount(const struct bundle *bundle, int stop_file, struct failure *failure) {
  if (!device_wait(bundle->root.device, DEVICE_TIMEOUT_MS, stop_file, failure)) return false;
  if (!make_folder(IMAGE, failure) || !make_folder(LAYERS, failure) || !make_folder(ROOT, failure) ||
      !mount_image(bundle, failure) || !mount_layers(bundle, failure) || !copy_root_attributes(failure))
    return false;
  if (mount("overlay", ROOT, "overlay", 0, "lowerdir=" IMAGE ",upperdir=" LAYERS "/upper,workdir=" LAYERS "/work") == 0)
    return true;
  return fail(failure, STEP, errno, "cannot mount the overlay over %s", bundle->root.device);
}

bool root_enter(struct failure *failure) {
  static const char *const hidden[] = {"/dev", "/sys", "/proc", IMAGE, LAYERS};
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return fail(failure, "change-root", errno, "cannot make the mounts private");
  if (chdir(ROOT) < 0) return fail(failure, "change-root", errno, "cannot enter %s", ROOT);
  for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) umount2(hidden[i], MNT_DETACH);
  /* pivot_root(2) refuses the initrd's file system; moving over it is what switch_root(8) does too. */
  if (mount(".", "/", NULL, MS_MOVE, NULL) < 0) return fail(failure, "change-root", errno, "cannot move the root");
  if (chroot(".") < 0 || chdir("/") < 0) return fail(failure, "change-root", errno, "cannot change the root");
  return true;
}

bool root_make_read_only(struct failure *failure) {
  if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0) return true;
  return fail(failure, "change-root", errno, "cannot make the root read-only");
}

void root_unmount(void) {
  umount2(ROOT, 0);
  umount2(LAYERS, 0);
  umount2(IMAGE, 0);
}
