// Where a user's credentials are, in the order of containers-auth.json(5), and docker's after them.
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { AuthFileStyle } from './registry-names.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface AuthLocation {
  readonly path: string
  readonly style: AuthFileStyle
}

/** The files to look into, the first that has something for a registry wins. A file that is named is the only one. */
export function authLocations(environment: Environment, named?: string): AuthLocation[] {
  const only = named || environment.REGISTRY_AUTH_FILE
  if (only) return [{ path: only, style: 'containers' }]
  const { XDG_RUNTIME_DIR: runtimeFolder } = environment
  // containers/image, pkg/docker/config: `/run/containers/UID` where there is no runtime folder of the user.
  const volatileFile = runtimeFolder
    ? join(runtimeFolder, 'containers/auth.json')
    : join('/run/containers', String(process.getuid?.() ?? 0), 'auth.json')
  return [
    { path: volatileFile, style: 'containers' },
    { path: join(configFolder(environment), 'containers/auth.json'), style: 'containers' },
    dockerConfig(environment),
  ]
}

/** The file that a login writes: docker's, unless another is named. */
export function loginLocation(environment: Environment, named?: string): AuthLocation {
  const only = named || environment.REGISTRY_AUTH_FILE
  return only ? { path: only, style: 'containers' } : dockerConfig(environment)
}

export function homeFolder(environment: Environment): string {
  return environment.HOME || homedir()
}

/** XDG base directory specification: where users' settings are. */
export function configFolder(environment: Environment): string {
  return environment.XDG_CONFIG_HOME || join(homeFolder(environment), '.config')
}

function dockerConfig(environment: Environment): AuthLocation {
  const folder = environment.DOCKER_CONFIG || join(homeFolder(environment), '.docker')
  return { path: join(folder, 'config.json'), style: 'docker' }
}
