// Names of hosts as they stand in image references, in settings, and as names of folders with certificates.

const HOST = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/

/** Whether the text is `host` or `host:port`: a name, an IPv4 address, or an IPv6 address in brackets. */
export function isHostName(text: string): boolean {
  return HOST.test(text)
}
