import structflow

r = structflow.run("spec.yaml", "r", workers=1)
print(r.best.structure)
