/* The initrd's file system is the machine's own root; what it held for the boot is taken out of memory. */
#pragma once

/* Removes everything but guest-init itself and mount points, and puts /sbin/poweroff and /sbin/reboot there, which
   the kernel starts when the hypervisor asks for a shutdown (drivers/xen/manage.c). Does nothing on a root that
   is not in memory. */
void initrd_clear(void);
