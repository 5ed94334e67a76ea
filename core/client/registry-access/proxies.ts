// The user's proxies, as Go's programs (docker, skopeo, podman) read them from the environment.
import { defaultSocketPath } from '../../api/wire.ts'
import type { Environment } from '../credentials/auth-locations.ts'
import type { CoreTarget } from '../target.ts'

export interface Proxies {
  readonly http?: string
  readonly https?: string
  readonly except?: string
}

/**
 * `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in capitals or not, capitals first (golang.org/x/net/http/httpproxy);
 * undefined where none is set.
 */
export function proxiesOf(environment: Environment): Proxies | undefined {
  const read = (name: string) => environment[name] || environment[name.toLowerCase()] || undefined
  const [http, https, except] = [read('HTTP_PROXY'), read('HTTPS_PROXY'), read('NO_PROXY')]
  if (http === undefined && https === undefined) return undefined
  return {
    ...(http === undefined ? {} : { http: withScheme(http) }),
    ...(https === undefined ? {} : { https: withScheme(https) }),
    ...(except === undefined ? {} : { except }),
  }
}

/**
 * Whether a core host sees the network as this user does. One in a lab or behind somebody's socket has a loopback of
 * its own, where a proxy on ours (`http://127.0.0.1:3128`) would be somebody else's; it uses its own proxies.
 */
export function sharesOurNetwork({ kind, socketPath }: CoreTarget): boolean {
  return kind === 'local' || (kind === 'socket' && socketPath === defaultSocketPath)
}

function withScheme(address: string): string {
  return address.includes('://') ? address : `http://${address}`
}
