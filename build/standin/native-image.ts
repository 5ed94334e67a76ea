// nativeImage: the stand-in draws no tray, so an image is the file it came from.

export class NativeImage {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  isEmpty(): boolean {
    return this.path === ''
  }

  setTemplateImage(): void {
    // macOS only, also in Electron.
  }
}

export const nativeImage = {
  createFromPath: (path: string): NativeImage => new NativeImage(path),
  createEmpty: (): NativeImage => new NativeImage(''),
}
