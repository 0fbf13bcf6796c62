if __name__ == "__main__":
    print("main", __name__)
