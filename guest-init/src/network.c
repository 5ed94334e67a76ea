/* netdevice(7). */
#include "network.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

bool network_bring_up_loopback(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int socket_file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_file < 0) return false;
  bool up = ioctl(socket_file, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  up = up && ioctl(socket_file, SIOCSIFFLAGS, &request) == 0;
  int saved_error = errno;
  close(socket_file);
  errno = saved_error;
  return up;
}
